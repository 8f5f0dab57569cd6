//! Each with `openat2` and without it.

use super::*;
use rustix::fs::CWD;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

fn p(name: &str) -> &Path {
    Path::new(name)
}

/// Runs a test on an empty directory, once with all that this kernel has and once with what all kernels have.
fn both(test: impl Fn(&System, &Path)) {
    for old in [false, true] {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("store");
        let mut system = System::open(&path).unwrap();
        if old {
            system.kernel = Kernel { beneath: false, cached: false };
            system.at_once = AtomicBool::new(false);
        }
        test(&system, &path);
    }
}

fn write(system: &System, name: &str, bytes: &[u8]) -> Box<dyn File> {
    let file = system.create(p(name)).unwrap();
    file.write_at(bytes, 0).unwrap();
    file
}

fn read(system: &System, name: &str) -> io::Result<Vec<u8>> {
    let file = system.open(p(name))?;
    let mut bytes = vec![0; 1000];
    let length = file.read_at(&mut bytes, 0)?;
    bytes.truncate(length);
    Ok(bytes)
}

/// What is not there, or not yet in the kernel's caches, it may have to be asked for more than once.
fn at_once(system: &System, name: &str, most: usize) -> io::Result<Vec<u8>> {
    let ask = || system.read_at_once(p(name), most);
    (0..1000).map(|_| ask()).find(|got| kind(got) != Some(io::ErrorKind::WouldBlock)).unwrap_or_else(ask)
}

fn kind<T>(result: &io::Result<T>) -> Option<io::ErrorKind> {
    result.as_ref().err().map(io::Error::kind)
}

fn is_not_regular<T>(result: io::Result<T>) -> bool {
    result.err().is_some_and(|error| error.to_string() == not_regular().to_string())
}

#[test]
fn only_the_owner_sees_what_is_made() {
    both(|system, path| {
        write(system, "a", b"");
        system.make_dir(p("d")).unwrap();
        let mode = |of: PathBuf| fs::metadata(of).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(path.to_owned()) & 0o077, 0);
        assert_eq!(mode(path.join("a")) & 0o077, 0);
        assert_eq!(mode(path.join("d")) & 0o077, 0);
    });
}

#[test]
fn opens_only_a_directory_and_makes_no_others_above_it() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    assert_eq!(kind(&System::open(&dir.path().join("file"))), Some(io::ErrorKind::NotADirectory));
    assert_eq!(kind(&System::open(&dir.path().join("not/there"))), Some(io::ErrorKind::NotFound));
    symlink(dir.path(), dir.path().join("by-link")).unwrap();
    assert!(System::open(&dir.path().join("by-link")).is_ok());
}

#[test]
fn creates_only_what_is_not_there() {
    both(|system, path| {
        write(system, "a", b"one");
        symlink("nowhere", path.join("link")).unwrap();
        for name in ["a", "link"] {
            assert_eq!(kind(&system.create(p(name))), Some(io::ErrorKind::AlreadyExists), "{name}");
        }
        assert_eq!(kind(&system.create(p("d/a"))), Some(io::ErrorKind::NotFound));
        assert_eq!(read(system, "a").unwrap(), b"one");
        assert!(!path.join("nowhere").exists());
    });
}

#[test]
fn reads_and_writes_at_offsets() {
    both(|system, _| {
        system.make_dir(p("d")).unwrap();
        write(system, "d/a", b"0123456789");
        let file = system.open_to_write(p("d/a")).unwrap();
        file.write_at(b"xy", 9).unwrap();
        let mut buffer = [0; 4];
        assert_eq!(file.read_at(&mut buffer, 8).unwrap(), 3);
        assert_eq!(&buffer[..3], b"8xy");
        assert_eq!(file.read_at(&mut buffer, 11).unwrap(), 0);
        file.set_len(2).unwrap();
        assert_eq!(read(system, "d/a").unwrap(), b"01");
        file.set_len(4).unwrap();
        assert_eq!(read(system, "d/a").unwrap(), b"01\0\0");
        file.sync().unwrap();
        assert!(system.open(p("d/a")).unwrap().write_at(b"no", 0).is_err(), "it was opened for reading");
        assert_eq!(kind(&system.open_to_write(p("none"))), Some(io::ErrorKind::NotFound));
        assert_eq!(kind(&system.open(p("none"))), Some(io::ErrorKind::NotFound));
    });
}

#[test]
fn reads_at_once_what_is_in_memory() {
    both(|system, _| {
        system.make_dir(p("d")).unwrap();
        write(system, "d/a", b"all of it");
        write(system, "d/empty", b"");
        let got = at_once(system, "d/a", 9);
        if !system.at_once.load(Ordering::Relaxed) {
            // This kernel cannot, or this file system.
            assert_eq!(kind(&got), Some(io::ErrorKind::WouldBlock));
            assert!(read(system, "d/a").is_ok());
            return;
        }
        assert_eq!(got.unwrap(), b"all of it");
        assert_eq!(at_once(system, "d/empty", 9).unwrap(), b"");
        assert_eq!(kind(&at_once(system, "d/a", 8)), Some(io::ErrorKind::WouldBlock), "longer than that");
        assert_eq!(kind(&system.open(p("d/none"))), Some(io::ErrorKind::NotFound));
        assert_eq!(kind(&at_once(system, "d/none", 9)), Some(io::ErrorKind::NotFound));
        assert_eq!(kind(&system.read_at_once(p("d/\0"), 9)), Some(io::ErrorKind::InvalidInput));
        assert!(at_once(system, "d/a", 9).is_ok(), "no name makes it stop trying");
    });
}

#[test]
fn refuses_all_but_regular_files_and_does_not_wait_for_them() {
    both(|system, path| {
        let device = rustix::fs::makedev(1, 5);
        let modes = Mode::from_raw_mode(0o666);
        rustix::fs::mknodat(CWD, path.join("fifo"), FileType::Fifo, modes, 0).unwrap();
        let planted = rustix::fs::mknodat(CWD, path.join("device"), FileType::CharacterDevice, modes, device);
        let _socket = UnixListener::bind(path.join("socket")).unwrap();
        write(system, "target", b"secret");
        symlink("target", path.join("link")).unwrap();
        symlink("nowhere", path.join("dangling")).unwrap();
        symlink("/proc/self/exe", path.join("away")).unwrap();
        system.make_dir(p("directory")).unwrap();
        let mut names = vec!["fifo", "socket", "link", "dangling", "away", "directory", "target/file"];
        // Only root can plant one.
        names.extend(planted.is_ok().then_some("device"));
        for name in names {
            assert!(is_not_regular(system.open(p(name))), "{name}");
            assert!(is_not_regular(system.open_to_write(p(name))), "{name}");
            assert!(is_not_regular(system.lock(p(name))), "{name}");
            let got = at_once(system, name, 1 << 20);
            if system.at_once.load(Ordering::Relaxed) && name != "target/file" {
                assert!(is_not_regular(got), "{name}");
            } else {
                assert!(got.is_err(), "{name}");
            }
            if name != "target/file" {
                assert!(!system.stat(p(name)).unwrap().regular, "{name}");
                assert_eq!(system.make_dir(p(name)).is_ok(), name == "directory", "{name}");
            }
        }
        assert_eq!(system.at_once.load(Ordering::Relaxed), system.kernel.cached, "no name makes it stop trying");
    });
}

#[test]
fn follows_no_links_on_the_way() {
    both(|system, path| {
        let outside = path.with_file_name("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("a"), "secret").unwrap();
        write(system, "mine", b"mine");
        system.make_dir(p("inside")).unwrap();
        write(system, "inside/a", b"inside");
        symlink("../outside", path.join("away")).unwrap();
        symlink("inside", path.join("near")).unwrap();
        system.make_dir(p("deep")).unwrap();
        symlink("../inside", path.join("deep/near")).unwrap();
        for dir in ["away", "near", "deep/near", "..", "inside/../..", "inside/..", outside.to_str().unwrap()] {
            let name = &Path::new(dir).join("a");
            let other = &Path::new(dir).join("b");
            assert!(system.open(name).is_err(), "{dir}");
            assert!(system.open_to_write(name).is_err(), "{dir}");
            // The kernel itself lets names through that come back.
            assert!(system.read_at_once(name, 100).is_err() || dir == "inside/..", "{dir}");
            assert!(system.create(other).is_err(), "{dir}");
            assert!(system.rename(name, p("stolen")).is_err(), "{dir}");
            assert!(system.rename(p("mine"), other).is_err(), "{dir}");
            assert!(system.link(name, p("stolen")).is_err(), "{dir}");
            assert!(system.link(p("mine"), other).is_err(), "{dir}");
            assert!(system.remove(name).is_err(), "{dir}");
            assert!(system.make_dir(other).is_err(), "{dir}");
            assert!(system.stat(name).is_err(), "{dir}");
            assert!(system.lock(other).is_err(), "{dir}");
            assert!(system.list(p(dir), &mut |_| panic!("{dir}")).is_err(), "{dir}");
            assert!(system.sync_dir(p(dir)).is_err(), "{dir}");
        }
        assert_eq!(fs::read_dir(outside).unwrap().count(), 1);
        assert_eq!(read(system, "mine").unwrap(), b"mine");
        assert_eq!(read(system, "inside/a").unwrap(), b"inside");
    });
}

#[test]
fn renames_links_and_removes() {
    both(|system, path| {
        system.make_dir(p("d")).unwrap();
        system.make_dir(p("d")).unwrap();
        write(system, "a", b"a");
        write(system, "d/b", b"b");
        assert_eq!(kind(&system.link(p("a"), p("d/b"))), Some(io::ErrorKind::AlreadyExists));
        system.link(p("a"), p("d/second")).unwrap();
        assert_eq!(system.stat(p("a")).unwrap().identity, system.stat(p("d/second")).unwrap().identity);
        system.rename(p("a"), p("d/b")).unwrap();
        assert_eq!(read(system, "d/b").unwrap(), b"a");
        assert_eq!(kind(&system.stat(p("a"))), Some(io::ErrorKind::NotFound));
        assert_eq!(kind(&system.remove(p("d"))), Some(io::ErrorKind::DirectoryNotEmpty));
        system.remove(p("d/b")).unwrap();
        system.remove(p("d/second")).unwrap();
        system.remove(p("d")).unwrap();
        assert_eq!(kind(&system.remove(p("d"))), Some(io::ErrorKind::NotFound));
        // A link goes itself, not what it leads to.
        write(system, "a", b"a");
        symlink("a", path.join("link")).unwrap();
        system.remove(p("link")).unwrap();
        assert_eq!(read(system, "a").unwrap(), b"a");
    });
}

#[test]
fn lists_names_of_all_kinds() {
    both(|system, _| {
        let odd = Path::new(OsStr::from_bytes(b"d/\xff\n"));
        system.make_dir(p("d")).unwrap();
        drop(system.create(odd).unwrap());
        write(system, "d/a", b"");
        system.make_dir(p("d/e")).unwrap();
        let list = |dir| {
            let mut names = Vec::new();
            system.list(p(dir), &mut |name| names.push(name.as_bytes().to_vec())).map(|()| {
                names.sort();
                names
            })
        };
        assert_eq!(list("d").unwrap(), [b"a".to_vec(), b"e".to_vec(), b"\xff\n".to_vec()]);
        assert_eq!(list("").unwrap(), [b"d"]);
        assert_eq!(list(".").unwrap(), [b"d"]);
        assert!(list("d/e").unwrap().is_empty());
        assert_eq!(kind(&list("d/a")), Some(io::ErrorKind::NotADirectory));
        assert_eq!(kind(&list("none")), Some(io::ErrorKind::NotFound));
    });
}

#[test]
fn tells_what_a_file_is_like() {
    both(|system, path| {
        let file = write(system, "a", &[1; 5000]);
        file.sync().unwrap();
        let (stat, meta) = (file.stat().unwrap(), fs::metadata(path.join("a")).unwrap());
        assert_eq!(stat, system.stat(p("a")).unwrap());
        assert_eq!(stat.length, 5000);
        assert_eq!(stat.occupied, meta.blocks() * 512);
        assert_eq!(stat.identity, (meta.dev(), meta.ino()));
        assert_eq!(stat.modified, meta.modified().unwrap());
        let early = SystemTime::UNIX_EPOCH - Duration::from_millis(1500);
        fs::File::open(path.join("a")).unwrap().set_modified(early).unwrap();
        let read = fs::metadata(path.join("a")).unwrap().modified().unwrap();
        assert_eq!(system.stat(p("a")).unwrap().modified, read);
        assert!(!system.stat(p("")).unwrap().regular);
        assert!(!system.stat(p(".")).unwrap().regular);
    });
}

#[test]
fn a_read_leaves_no_note() {
    both(|system, path| {
        write(system, "a", b"a");
        let long_ago = fs::FileTimes::new().set_accessed(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000));
        fs::File::open(path.join("a")).unwrap().set_times(long_ago).unwrap();
        assert_eq!(read(system, "a").unwrap(), b"a");
        let _ = at_once(system, "a", 10);
        assert_eq!(fs::metadata(path.join("a")).unwrap().atime(), 1_000_000);
    });
}

/// A file that the kernel cannot copy from.
#[derive(Debug)]
struct Foreign(Vec<u8>);

impl File for Foreign {
    fn stat(&self) -> io::Result<Stat> {
        Err(not_regular())
    }

    /// A few bytes at a time.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = &self.0[usize::try_from(offset).unwrap().min(self.0.len())..];
        let read = rest.len().min(buffer.len()).min(3);
        buffer[..read].copy_from_slice(&rest[..read]);
        Ok(read)
    }

    fn write_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        Err(not_regular())
    }

    fn copy_from(&self, _: &dyn File, _: u64, _: u64, _: u64) -> io::Result<()> {
        Err(not_regular())
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(not_regular())
    }

    fn sync(&self) -> io::Result<()> {
        Err(not_regular())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[test]
fn copies_from_one_offset_to_another() {
    both(|system, _| {
        let here = write(system, "from", b"0123456789");
        let foreign = Foreign(b"0123456789".to_vec());
        for (name, from) in [("kernel", &*here as &dyn File), ("foreign", &foreign)] {
            let to = write(system, name, b"abcd");
            to.copy_from(from, 2, 1, 8).unwrap();
            assert_eq!(read(system, name).unwrap(), b"a23456789");
            let beyond = to.copy_from(from, 5, 0, 6);
            assert_eq!(kind(&beyond), Some(io::ErrorKind::UnexpectedEof), "{name}");
            to.copy_from(from, 100, 0, 0).unwrap();
        }
        here.copy_from(&*here, 0, 1, 3).unwrap();
        assert_eq!(read(system, "from").unwrap(), b"0012456789", "an overlap is not the kernel's");
    });
}

#[test]
fn syncs_and_tells_the_room() {
    both(|system, _| {
        system.make_dir(p("d")).unwrap();
        write(system, "d/a", b"a").sync().unwrap();
        for dir in ["", ".", "d"] {
            system.sync_dir(p(dir)).unwrap();
        }
        assert!(system.sync_dir(p("none")).is_err());
        system.sync_all().unwrap();
        let space = system.space().unwrap();
        assert!(space.free > 0 && space.free <= space.total);
    });
}

#[test]
fn one_has_the_lock_until_it_lets_go() {
    both(|system, path| {
        let held = system.lock(p("lock")).unwrap();
        assert!(held.is_some());
        assert!(system.lock(p("lock")).unwrap().is_none());
        assert!(System::open(path).unwrap().lock(p("lock")).unwrap().is_none());
        drop(held);
        assert!(system.lock(p("lock")).unwrap().is_some());
        assert_eq!(fs::metadata(path.join("lock")).unwrap().permissions().mode() & 0o077, 0);
    });
}

#[test]
fn goes_on_in_a_new_directory_after_it_was_removed() {
    both(|system, path| {
        let old = write(system, "a", b"old");
        fs::remove_dir_all(path).unwrap();
        assert_eq!(kind(&system.create(p("b"))), Some(io::ErrorKind::NotFound));
        system.reopen().unwrap();
        write(system, "b", b"new");
        assert_eq!(fs::read(path.join("b")).unwrap(), b"new");
        old.write_at(b"still", 0).unwrap();
        assert_eq!(kind(&system.open(p("a"))), Some(io::ErrorKind::NotFound));
    });
}
