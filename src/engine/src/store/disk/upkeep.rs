//! What has to be seen to from time to time: the index after a start, its snapshot, a disk that failed, and a writer that
//! does not come back.

use super::Disk;
use super::names::TMP;
use semantics::Timestamp;
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

const EVERY: Duration = Duration::from_secs(1);
/// An operation that takes longer does not come back.
const STUCK: Duration = Duration::from_secs(10);
/// How often the index is written down.
const SNAPSHOT: Duration = Duration::from_secs(300);
/// What is written to see whether the disk works.
const PROBE: &[u8] = b"Larder writes this to see whether the disk works.\n";

impl Disk {
    pub(super) fn keep_up(&self) {
        self.index_all();
        let mut snapshot = self.clock.now();
        while !self.queue.is_stopped() {
            std::thread::sleep(EVERY);
            let now = self.clock.now();
            self.watch_the_writer(now);
            if self.health.is_off() {
                self.probe();
            } else if now.since(snapshot) >= SNAPSHOT {
                snapshot = now;
                self.write_snapshot();
            }
            if !self.indexed.load(Ordering::Relaxed) {
                self.index_all();
            }
        }
    }

    fn watch_the_writer(&self, now: Timestamp) {
        let since = self.writing_since.load(Ordering::Relaxed);
        if since != 0 && now.since(Timestamp::from_micros(since)) > STUCK {
            self.health.stuck("write");
        }
    }

    /// Tries a disk that failed.
    pub(super) fn probe(&self) {
        let stuck = self.writing_since.load(Ordering::Relaxed);
        if stuck != 0 && self.clock.now().since(Timestamp::from_micros(stuck)) > STUCK {
            return;
        }
        if self.try_everything().is_ok() {
            self.health.recovered();
        }
    }

    fn try_everything(&self) -> io::Result<()> {
        self.files.reopen()?;
        if super::read_seed(&*self.files)?.is_none() {
            super::write_seed(&*self.files, self.settings.seed)?;
        }
        self.files.make_dir(Path::new(super::names::PAGES))?;
        self.files.make_dir(Path::new(TMP))?;
        let own = Path::new(TMP).join(&self.process);
        self.files.make_dir(&own)?;
        let (one, two) = (own.join("probe"), own.join("probed"));
        let _ = self.files.remove(&one);
        let tried = (|| {
            let file = self.files.create(&one)?;
            file.write_at(PROBE, 0)?;
            file.sync()?;
            let mut read = vec![0; PROBE.len()];
            self.files.open(&one)?.read_at(&mut read, 0)?;
            self.files.rename(&one, &two)?;
            if read == PROBE { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
        })();
        let _ = self.files.remove(&one);
        let _ = self.files.remove(&two);
        match tried {
            // It can be read, and made less full.
            Err(error) if super::health::is_full(&error) => Ok(()),
            tried => tried,
        }
    }
}
