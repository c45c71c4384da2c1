//! The log's file: put aside when it is large or the day is over, a few kept. Written line by line, so that nothing is
//! lost when the process dies; a disk that is full costs log lines, never gantry.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use tracing_subscriber::fmt::MakeWriter;

/// Seconds of a day.
const DAY_S: u64 = 86_400;

/// A log file that turns itself over. Clones share it.
#[derive(Debug, Clone)]
pub struct LogFile(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    file: File,
    size: u64,
    day: u64,
    most: u64,
    keep: u32,
}

fn open(path: &Path) -> io::Result<(File, u64, u64)> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o640);
    let file = options.open(path)?;
    let about = file.metadata()?;
    let day = if about.len() == 0 { today() } else { about.modified().map_or(0, day_of) };
    Ok((file, about.len(), day))
}

fn day_of(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs() / DAY_S)
}

fn today() -> u64 {
    day_of(SystemTime::now())
}

impl LogFile {
    /// Opens the file, going on where it ends. Put aside after `most` bytes; `keep` of those stay.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn open(path: &Path, most: u64, keep: u32) -> io::Result<Self> {
        let (file, size, day) = open(path)?;
        let inner = Inner { path: path.to_owned(), file, size, day, most, keep };
        Ok(Self(Arc::new(Mutex::new(inner))))
    }
}

impl Inner {
    fn aside(&self, n: u32) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{n}"));
        PathBuf::from(name)
    }

    fn turn_over(&mut self) -> io::Result<()> {
        // It is not there where it was put aside before and no new one could be opened: what is written stands in the
        // newest of those until one can.
        if self.path.exists() {
            for n in (1..self.keep).rev() {
                let (from, to) = (self.aside(n), self.aside(n + 1));
                if from.exists() {
                    std::fs::rename(from, to)?;
                }
            }
            if self.keep == 0 {
                std::fs::remove_file(&self.path)?;
            } else {
                std::fs::rename(&self.path, self.aside(1))?;
            }
        }
        (self.file, self.size, self.day) = open(&self.path)?;
        Ok(())
    }

    fn write(&mut self, line: &[u8], today: u64) -> io::Result<()> {
        let full = self.size > 0 && self.size.saturating_add(line.len() as u64) > self.most;
        if full || self.day != today && self.size > 0 {
            // Better one large file than no log: what cannot be put aside is written on.
            if self.turn_over().is_err() {
                self.day = today;
                self.size = 0;
            }
        }
        self.file.write_all(line)?;
        self.size = self.size.saturating_add(line.len() as u64);
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogFile {
    type Writer = Both;
    fn make_writer(&'a self) -> Both {
        Both(self.clone())
    }
}

/// Writes a line to the file and to standard error.
#[derive(Debug)]
pub struct Both(LogFile);

impl Write for Both {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut inner = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = inner.write(line, today());
        drop(inner);
        io::stderr().write_all(line)?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_put_aside_when_it_is_large_or_the_day_is_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gantry.log");
        let log = LogFile::open(&path, 20, 2).unwrap();
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap_or_default();
        let day = today();
        {
            let mut inner = log.0.lock().unwrap();
            for line in ["one 1234567\n", "two 1234567\n", "three 12345\n"] {
                inner.write(line.as_bytes(), day).unwrap();
            }
        }
        assert_eq!(
            (read("gantry.log.2"), read("gantry.log.1")),
            ("one 1234567\n".into(), "two 1234567\n".into())
        );
        log.0.lock().unwrap().write(b"four\n", day + 1).unwrap();
        assert_eq!(
            (read("gantry.log"), read("gantry.log.1")),
            ("four\n".into(), "three 12345\n".into())
        );
        assert_eq!(read("gantry.log.2"), "two 1234567\n", "the oldest is gone");
        assert!(!dir.path().join("gantry.log.3").exists());
        drop(log);
        LogFile::open(&path, 1000, 2).unwrap().0.lock().unwrap().write(b"five\n", day).unwrap();
        assert!(read("gantry.log").ends_with("five\n"));
    }

    #[test]
    fn a_file_that_could_not_be_opened_anew_is_when_it_can() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gantry.log");
        let log = LogFile::open(&path, 20, 2).unwrap();
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap_or_default();
        let day = today();
        let mut inner = log.0.lock().unwrap();
        inner.write(b"one 1234567\n", day).unwrap();
        // Put aside, and then there was no descriptor left for a new one.
        std::fs::rename(&path, dir.path().join("gantry.log.1")).unwrap();
        inner.write(b"two\n", day).unwrap();
        assert_eq!(read("gantry.log.1"), "one 1234567\ntwo\n", "nothing is lost");
        inner.write(b"three 1234567\n", day).unwrap();
        assert_eq!(read("gantry.log"), "three 1234567\n");
        assert_eq!(read("gantry.log.1"), "one 1234567\ntwo\n");
    }
}
