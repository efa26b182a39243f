//! Reads files that somebody else may change, replace or make up at any time: manifests and filters. Whatever a path
//! leads to, reading it ends, and takes no more memory than it may.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

/// Why a file was not read.
#[derive(Debug)]
pub enum Unreadable {
    /// The system's reason.
    Io(io::Error),
    /// It is a directory, a pipe or a device.
    NoFile,
    /// It has more than this many bytes.
    TooLarge(u64),
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::NoFile => f.write_str("it is no plain file"),
            Self::TooLarge(limit) => write!(f, "it is larger than {} MiB", limit >> 20),
        }
    }
}

impl std::error::Error for Unreadable {}

/// The content of a plain file of at most `limit` bytes. The file that is looked at is the one that is read, even if its
/// path leads elsewhere a moment later.
///
/// # Errors
/// See [`Unreadable`].
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>, Unreadable> {
    // Opening a pipe waits for a writer, without this.
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(Unreadable::Io)?;
    let metadata = file.metadata().map_err(Unreadable::Io)?;
    if !metadata.is_file() {
        return Err(Unreadable::NoFile);
    }
    if metadata.len() > limit {
        return Err(Unreadable::TooLarge(limit));
    }
    let mut bytes = Vec::new();
    // It may grow while it is read.
    file.take(limit + 1).read_to_end(&mut bytes).map_err(Unreadable::Io)?;
    if bytes.len() as u64 > limit { Err(Unreadable::TooLarge(limit)) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_directories_and_what_is_too_large_are_refused() {
        let here = Path::new(file!());
        assert!(read(here, 1 << 20).unwrap().starts_with(b"//! "));
        assert!(matches!(read(here, 10), Err(Unreadable::TooLarge(10))));
        assert!(matches!(read(Path::new("/dev/zero"), 10), Err(Unreadable::NoFile)));
        assert!(matches!(read(Path::new("/"), 10), Err(Unreadable::NoFile)));
        assert!(matches!(read(Path::new("/nowhere"), 10), Err(Unreadable::Io(_))));
        // The kernel says that it has no bytes, and it has some.
        assert!(matches!(read(Path::new("/proc/self/stat"), 10), Err(Unreadable::TooLarge(10))));
    }
}
