//! Watches the files that a reload reads. The system only says that something may have happened somewhere near one of
//! them; whether its content is another, a digest says. Directories are watched, not files: editors and deployments put
//! another file in the place of the old one, or another directory behind a symbolic link (as Kubernetes does), and a
//! watch on the file itself would stay with the old one.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use crate::assembly::MAX_FILE;
use crate::file;
use crate::wasm::digest;

/// How many symbolic links a path may lead through, as Linux has it.
const MAX_LINKS: usize = 40;

/// Files that are watched, with what was last seen of them.
pub(super) struct Watch {
    watcher: RecommendedWatcher,
    directories: BTreeSet<PathBuf>,
    entries: Arc<RwLock<BTreeSet<PathBuf>>>,
    seen: BTreeMap<PathBuf, Look>,
}

/// The digest of a file's content, or why there is none.
type Look = Result<String, String>;

impl Watch {
    /// Watches nothing yet. `touched` is called, by a thread of its own, when a watched file may be another.
    ///
    /// # Errors
    /// The system's, if it gives no watch.
    pub(super) fn start(touched: impl Fn() + Send + 'static) -> notify::Result<Self> {
        let entries = Arc::<RwLock<BTreeSet<PathBuf>>>::default();
        let watched = entries.clone();
        let handle = move |event: notify::Result<Event>| {
            // After an error, nobody knows what was missed.
            if event.map_or(true, |event| concerns(&event, &watched)) {
                touched();
            }
        };
        let watcher = notify::recommended_watcher(handle)?;
        Ok(Self { watcher, directories: BTreeSet::new(), entries, seen: BTreeMap::new() })
    }

    /// A file that is watched from now on, with the digest of what was read of it before.
    pub(super) fn know(&mut self, file: &Path, digest: String) {
        self.seen.insert(absolute(file), Ok(digest));
        self.refresh();
    }

    /// Watches these files, and no others, and looks at them.
    pub(super) fn begin(&mut self, files: &[&Path]) {
        self.seen.clear();
        self.add(files);
    }

    /// Watches these files, too, and looks at them.
    pub(super) fn add(&mut self, files: &[&Path]) {
        let files: Vec<_> = files.iter().map(|file| absolute(file)).collect();
        let unseen: Vec<_> = files.into_iter().filter(|file| !self.seen.contains_key(file)).collect();
        self.seen.extend(unseen.iter().map(|file| (file.clone(), Err(String::new()))));
        self.refresh();
        // Only then: what changes after this look is noticed.
        self.seen.extend(unseen.into_iter().map(|file| (file.clone(), look(&file))));
    }

    /// True if the content of any file is not what was last seen. Where the paths lead now is watched from now on.
    pub(super) fn has_changed(&mut self) -> bool {
        self.refresh();
        self.seen.iter().any(|(file, seen)| look(file) != *seen)
    }

    /// Follows the paths again, and watches the directories that they lead through.
    fn refresh(&mut self) {
        let mut entries: BTreeSet<_> = self.seen.keys().flat_map(|file| trail(file)).collect();
        let directories: BTreeSet<_> =
            entries.iter().filter_map(|entry| entry.parent()).map(Path::to_path_buf).collect();
        // A directory may be moved away itself.
        entries.extend(directories.iter().cloned());
        *self.entries.write().unwrap_or_else(PoisonError::into_inner) = entries;
        for gone in self.directories.difference(&directories) {
            // If the directory itself is gone, so is the watch.
            let _ = self.watcher.unwatch(gone);
        }
        for directory in &directories {
            // Also those that are watched already: there may be another directory in the place.
            if let Err(error) = self.watcher.watch(directory, RecursiveMode::NonRecursive) {
                tracing::warn!("changes in {} are not noticed: {error}", directory.display());
            }
        }
        self.directories = directories;
    }
}

/// True if the event may mean that the content of a watched file is another. Reading is no change.
fn concerns(event: &Event, watched: &RwLock<BTreeSet<PathBuf>>) -> bool {
    let is_change = match event.kind {
        EventKind::Access(kind) => kind == AccessKind::Close(AccessMode::Write),
        _ => true,
    };
    let watched = watched.read().unwrap_or_else(PoisonError::into_inner);
    event.need_rescan() || (is_change && event.paths.iter().any(|path| watched.contains(path)))
}

fn look(file: &Path) -> Look {
    file::read(file, MAX_FILE).map(|bytes| digest(&bytes)).map_err(|error| error.to_string())
}

/// A path that does not depend on the current directory.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

/// The directory entries that decide where a path leads: every symbolic link on its way, and the file at its end, or the
/// first entry that is missing.
fn trail(path: &Path) -> Vec<PathBuf> {
    let mut entries = Vec::new();
    let mut links = 0;
    let mut place = PathBuf::from("/");
    let mut rest: Vec<OsString> = names(path);
    while let Some(name) = rest.pop() {
        if name == ".." {
            place.pop();
            continue;
        }
        let next = place.join(name);
        match std::fs::read_link(&next) {
            Ok(target) if links < MAX_LINKS => {
                links += 1;
                if target.is_absolute() {
                    place = PathBuf::from("/");
                }
                entries.push(next);
                rest.extend(names(&target));
            }
            _ if rest.is_empty() || !next.is_dir() => {
                entries.push(next);
                return entries;
            }
            _ => place = next,
        }
    }
    entries
}

/// The names in a path, the last first; `..` is one of them.
fn names(path: &Path) -> Vec<OsString> {
    let names = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    names.rev().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trail_goes_through_links_and_ends_where_something_is_missing() {
        let root = std::env::temp_dir().join(format!("tollgate-trail-{}", std::process::id()));
        let root = {
            std::fs::create_dir_all(root.join("one/deep")).unwrap();
            root.canonicalize().unwrap()
        };
        std::fs::write(root.join("one/deep/file"), "").unwrap();
        std::os::unix::fs::symlink("one", root.join("data")).unwrap();
        std::os::unix::fs::symlink("data/deep/../deep/file", root.join("file")).unwrap();
        std::os::unix::fs::symlink(root.join("loop"), root.join("loop")).unwrap();
        let leads = |path: &str| -> Vec<String> {
            let relative = |entry: PathBuf| entry.strip_prefix(&root).unwrap().display().to_string();
            trail(&root.join(path)).into_iter().map(relative).collect()
        };
        assert_eq!(leads("one/deep/file"), ["one/deep/file"]);
        assert_eq!(leads("file"), ["file", "data", "one/deep/file"]);
        assert_eq!(leads("data/missing/file"), ["data", "one/missing"]);
        assert_eq!(leads("one/deep/file/below"), ["one/deep/file"]);
        assert_eq!(leads("loop").len(), MAX_LINKS + 1);
        std::fs::remove_dir_all(root).unwrap();
    }
}
