use super::*;

const STORE: u64 = 0x1234_5678_9abc_def0;

/// Three entries, one of them empty.
fn small() -> Vec<u8> {
    let mut frames = Vec::new();
    append(&mut frames, 1, b"the first");
    append(&mut frames, 2, b"");
    append(&mut frames, u128::MAX, b"the third");
    let mut reader = Reader::of_frames(frames.as_slice());
    while reader.next_entry().unwrap().is_some() {}
    let mut chain = Chain::of(STORE);
    let mut again = frames.as_slice();
    while let Some((frame, _)) = again.split_first_chunk::<FRAME>() {
        let read = FrameHead::read(frame).unwrap();
        chain.add(&read);
        again = &again[FRAME + usize::try_from(read.length).unwrap()..];
    }
    [head(STORE).as_slice(), &frames, &chain.end()].concat()
}

/// What is whole of it, and the first trouble.
fn read(bytes: &[u8]) -> (Vec<(u128, Vec<u8>)>, Option<Trouble>) {
    let mut reader = match Reader::open(bytes) {
        Ok(reader) => reader,
        Err(trouble) => return (Vec::new(), Some(trouble)),
    };
    let (mut entries, mut first) = (Vec::new(), None);
    loop {
        match reader.next_entry() {
            Ok(Some(entry)) => entries.push((entry.cursor, entry.content().to_vec())),
            Ok(None) => return (entries, first),
            Err(trouble) if trouble.is_one_entry() => first = first.or(Some(trouble)),
            Err(trouble) => return (entries, first.or(Some(trouble))),
        }
    }
}

#[test]
fn what_is_written_is_read() {
    let (entries, trouble) = read(&small());
    assert!(trouble.is_none(), "{trouble:?}");
    let expected: [(u128, &[u8]); 3] = [(1, b"the first"), (2, b""), (u128::MAX, b"the third")];
    assert_eq!(entries, expected.map(|(cursor, content)| (cursor, content.to_vec())));
    let empty = [head(STORE).as_slice(), &Chain::of(STORE).end()].concat();
    assert!(matches!(read(&empty), (entries, None) if entries.is_empty()));
}

#[test]
fn every_truncation_is_told_and_leaves_what_is_whole() {
    let (whole, all) = (small(), read(&small()).0);
    for length in 0..whole.len() {
        let (entries, trouble) = read(&whole[..length]);
        let trouble = trouble.unwrap_or_else(|| panic!("{length} bytes pass for all of it"));
        assert!(matches!(trouble.what, What::CutOff), "{length}: {trouble:?}");
        assert!(trouble.at <= length as u64, "{length}: {trouble:?}");
        assert_eq!(entries, all[..entries.len()]);
        // Going on behind the last whole frame makes the same archive.
        if length >= HEAD {
            let at = usize::try_from(trouble.at).unwrap();
            assert_eq!([&whole[..at], &whole[at..]].concat(), whole);
            let mut reader = Reader::open(&whole[..at]).unwrap();
            while let Ok(Some(_)) = reader.next_entry() {}
            assert_eq!(reader.at(), at as u64, "the frame that begins there is not whole, what is before it is");
        }
    }
}

#[test]
fn every_flipped_bit_is_told_and_nothing_damaged_is_given_out() {
    let (whole, all) = (small(), read(&small()).0);
    for bit in 0..whole.len() * 8 {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let (entries, trouble) = read(&flipped);
        let trouble = trouble.unwrap_or_else(|| panic!("bit {bit} may be anything"));
        assert!(trouble.at <= bit as u64 / 8, "bit {bit}: {trouble:?}");
        assert!(entries.iter().all(|entry| all.contains(entry)), "bit {bit}");
    }
}

#[test]
fn frames_that_are_left_out_doubled_or_moved_are_found_at_the_end() {
    let whole = small();
    let (first, second) = (HEAD..HEAD + FRAME + 9, HEAD + FRAME + 9..HEAD + 2 * FRAME + 9);
    let end = whole.len() - FRAME - END;
    let part = |range: std::ops::Range<usize>| whole[range].to_vec();
    let left_out = [part(0..first.end), part(second.end..whole.len())].concat();
    let doubled = [part(0..first.end), part(first.start..whole.len())].concat();
    let moved = [part(0..HEAD), part(second.clone()), part(first), part(second.end..whole.len())].concat();
    for mixed in [left_out, doubled, moved] {
        assert!(matches!(read(&mixed).1, Some(Trouble { what: What::Mixed, .. })));
    }
    let longer = [whole.clone(), b"x".to_vec()].concat();
    assert!(matches!(read(&longer).1, Some(Trouble { what: What::Longer, at }) if at == whole.len() as u64));
    let other = [head(STORE + 1).to_vec(), part(HEAD..whole.len())].concat();
    assert!(matches!(read(&other).1, Some(Trouble { what: What::Mixed, at }) if at == end as u64));
}

#[test]
fn what_is_no_archive_or_a_later_one_is_told_so() {
    assert!(matches!(read(b"PK\x03\x04").1, Some(Trouble { what: What::Foreign, .. })));
    let mut later = small();
    later[8] = 2;
    let sum = xxh3_64(&later[..HEAD - SUM]);
    later[HEAD - SUM..HEAD].copy_from_slice(&sum.to_le_bytes());
    assert!(matches!(read(&later).1, Some(Trouble { what: What::Newer, .. })));
}

#[test]
fn a_length_that_nobody_has_takes_no_room() {
    let mut frame = Vec::new();
    append(&mut frame, 1, b"content");
    frame[8..16].copy_from_slice(&u64::MAX.to_le_bytes());
    let sum = xxh3_64(&frame[..FRAME - SUM]);
    frame[FRAME - SUM..FRAME].copy_from_slice(&sum.to_le_bytes());
    let mut reader = Reader::of_frames(frame.as_slice());
    assert!(matches!(reader.next_entry(), Err(Trouble { what: What::CutOff, at: 0 })));
    assert!(matches!(reader.next_entry(), Ok(None)), "and that is all");
}
