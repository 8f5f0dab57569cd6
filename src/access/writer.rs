//! The thread that writes the access log. It alone waits for the output.

use super::{Output, PAUSE, Queue};
use engine::Clock;
use semantics::Timestamp;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Where lines are written, and for a file, its name.
pub(super) type Opened = (Box<dyn Write + Send>, Option<PathBuf>);

/// `None`: nothing is logged.
pub(super) fn open(output: &Output) -> io::Result<Option<Opened>> {
    let (file, path) = match output {
        Output::Off => return Ok(None),
        // A descriptor of its own: std's stdout has a lock, and whoever waits for a reader would hold it.
        Output::Stdout => (File::from(io::stdout().as_fd().try_clone_to_owned()?), None),
        Output::File(path) => (append_to(path)?, Some(path.clone())),
    };
    let output: Box<dyn Write + Send> = Box::new(file);
    Ok(Some((output, path)))
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

/// An output that takes nothing is mentioned in the log this often.
const TELL_EVERY: Duration = Duration::from_secs(10);

pub(super) struct Writer {
    queue: Arc<Queue>,
    output: Box<dyn Write + Send>,
    path: Option<PathBuf>,
    clock: Clock,
    /// The output ends in the middle of a line.
    torn: bool,
    last_told: Option<Timestamp>,
}

impl Writer {
    pub(super) fn new(queue: Arc<Queue>, (output, path): Opened, clock: Clock) -> Self {
        Writer { queue, output, path, clock, torn: false, last_told: None }
    }

    /// Until nobody logs any more.
    pub(super) fn run(mut self) {
        let queue = self.queue.clone();
        let mut lines = Vec::new();
        loop {
            let orders = queue.next_orders();
            // Asked before the buffers are looked at: what was logged until then is written. Two are ours.
            let nobody_logs = Arc::strong_count(&queue) == 2;
            if orders.reopen {
                self.reopen();
            }
            for buffer in &queue.buffers {
                std::mem::swap(&mut buffer.lock().lines, &mut lines);
                self.write(&lines);
                lines.clear();
            }
            queue.carried_out(orders);
            if nobody_logs {
                return;
            }
        }
    }

    /// Writes whole lines, or drops and counts those that did not go out whole.
    pub(super) fn write(&mut self, lines: &[u8]) {
        if lines.is_empty() {
            return;
        }
        if self.torn {
            match put(&mut *self.output, b"\n") {
                Ok(()) => self.torn = false,
                Err((_, error)) => return self.lost(lines, &error),
            }
        }
        if let Err((done, error)) = put(&mut *self.output, lines) {
            self.torn = lines[..done].last().is_some_and(|byte| *byte != b'\n');
            self.lost(&lines[done..], &error);
        }
    }

    fn lost(&mut self, lines: &[u8], error: &io::Error) {
        self.queue.dropped.inc_by(memchr::memchr_iter(b'\n', lines).count() as u64);
        let now = self.clock.now();
        if self.last_told.is_none_or(|last| now.since(last) >= TELL_EVERY) {
            self.last_told = Some(now);
            tracing::warn!(
                %error,
                "the access log cannot be written and its lines are dropped: make room for it, or see \
                 `logging.access.output`"
            );
        }
    }

    fn reopen(&mut self) {
        let Some(path) = &self.path else { return };
        match append_to(path) {
            Ok(file) => {
                // It may be the same file still, that was not moved away.
                self.torn &= file.metadata().is_ok_and(|about| about.len() > 0);
                self.output = Box::new(file);
            }
            Err(error) => {
                let path = path.display();
                tracing::warn!(%error, %path, "the access log cannot be opened anew: it goes on in the old file");
            }
        }
    }
}

/// Writes everything; with an error comes how much was written before it.
fn put(output: &mut dyn Write, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
    let mut done = 0;
    while done < bytes.len() {
        match output.write(&bytes[done..]) {
            Ok(0) => return Err((done, io::ErrorKind::WriteZero.into())),
            Ok(n) => done += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // A terminal or a pipe that somebody else has told not to wait.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(PAUSE),
            Err(error) => return Err((done, error)),
        }
    }
    Ok(())
}
