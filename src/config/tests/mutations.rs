//! Whatever a file holds, reading it ends with a configuration or with faults. `LARDER_MUTATIONS` sets how many are tried.

use crate::config::parse;
use std::collections::HashMap;

const FILES: [&str; 3] = [
    include_str!("../../../config/reference.yaml"),
    include_str!("../../../config/demo.yaml"),
    include_str!("../../../config/minimal.yaml"),
];

/// splitmix64.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n.max(1) as u64).expect("small")
    }
}

const SPLICES: [&str; 16] = [
    "&a ", "*a", "<<: *a", "- ", ": ", "${X}", "${X:?}", "\n  ", "\t", "{", "]", "\"", "!!int ", "| ", "9e999",
    "\u{feff}",
];

fn mutate(text: &str, dice: &mut Dice) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for _ in 0..=dice.below(4) {
        let at = dice.below(lines.len());
        match dice.below(6) {
            0 => drop(lines.remove(at)),
            1 => lines.insert(at, lines[dice.below(lines.len())].clone()),
            2 => lines[at].insert_str(0, SPLICES[dice.below(SPLICES.len())]),
            3 => lines[at].push_str(SPLICES[dice.below(SPLICES.len())]),
            4 => lines[at] = lines[at].chars().rev().collect(),
            _ => lines[at].retain(|c| c != ' '),
        }
        if lines.is_empty() {
            break;
        }
    }
    lines.join("\n")
}

#[test]
fn mutated_files_are_read_or_refused_and_never_crash() {
    let many = std::env::var("LARDER_MUTATIONS").ok().and_then(|n| n.parse().ok()).unwrap_or(300);
    let mut dice = Dice(7);
    for round in 0..many {
        let text = mutate(FILES[round % FILES.len()], &mut dice);
        if let Err(faults) = parse(&text, "mutated.yaml", &HashMap::new()) {
            assert!(faults.to_string().contains("mutated.yaml"), "{faults}\n{text}");
        }
    }
}
