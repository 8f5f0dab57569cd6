//! What the system knows of a running Larder.

use crate::dsl::Edge;
use std::fs;
use std::path::PathBuf;

/// A process, by its folder under /proc.
pub struct Process(PathBuf);

impl Process {
    /// The one that was told to listen where this edge does, by its arguments or by its configuration.
    pub fn of(edge: &Edge) -> Process {
        let listen = edge.listen.to_string();
        let told = |argument: &str| {
            let read = || fs::read_to_string(argument).is_ok_and(|text| text.contains(&listen));
            argument == listen || (argument.ends_with(".yaml") && read())
        };
        let found = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path()).find(|folder| {
            let line = fs::read(folder.join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line);
            let mut arguments = line.split('\0');
            arguments.next().is_some_and(|binary| binary.ends_with("/larder")) && arguments.any(told)
        });
        Process(found.unwrap_or_else(|| panic!("no process listens on {listen}")))
    }

    /// Open descriptors.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(self.0.join("fd")).unwrap().count()
    }

    /// Memory that is resident, in bytes.
    pub fn resident(&self) -> u64 {
        let status = fs::read_to_string(self.0.join("status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }
}

/// A panic in a task ends one request, and nobody hears of it but the log.
#[track_caller]
pub fn assert_no_panic(edge: &Edge) {
    assert!(!edge.larder.stderr().contains("panicked"), "a task of larder panicked:\n{}", edge.larder.stderr());
}
