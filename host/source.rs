//! Where the manifest comes from: a file or the embedded default, with what the command line puts in its place. It can
//! be read again at any time.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::file;
use crate::manifest::{self, Endpoint, Manifest};
use crate::wasm::digest;

/// The name that mistakes in the embedded default are reported under.
const EMBEDDED: &str = "(embedded default)";

/// A manifest may not be larger than this, in bytes: what people write, and programs that write for them, stays far
/// below it.
const MAX_MANIFEST: u64 = 4 << 20;

/// Where the manifest comes from.
#[derive(Debug, Clone, Default)]
pub struct Source {
    /// The file; none for the embedded default.
    pub path: Option<PathBuf>,
    /// What the embedded default is in front of, as a URL.
    pub default_upstream: Option<String>,
    /// In place of the first listener's address.
    pub listen: Option<SocketAddr>,
    /// In place of the first upstream's endpoints.
    pub upstream: Option<Endpoint>,
}

impl Source {
    /// The name that mistakes are reported under.
    pub fn name(&self) -> &Path {
        self.path.as_deref().unwrap_or(Path::new(EMBEDDED))
    }

    /// The digest of the file as it is now; none if there is no file, or it cannot be read.
    pub fn digest(&self) -> Option<String> {
        let bytes = file::read(self.path.as_deref()?, MAX_MANIFEST).ok()?;
        Some(digest(&bytes))
    }

    /// The manifest as it is now. The error is for people, with all mistakes.
    pub fn read(&self) -> Result<Manifest, String> {
        let embedded = |name: &str| match (name, &self.default_upstream) {
            ("TOLLGATE_UPSTREAM", Some(url)) => Some(url.clone()),
            _ => environment(name),
        };
        let mut manifest = match &self.path {
            Some(path) => read_manifest(path)?,
            None => manifest::parse(manifest::DEFAULT, EMBEDDED, &embedded)
                .map_err(|mistakes| mistakes.to_string())?,
        };
        if let Some(endpoint) = &self.upstream {
            let first = manifest.upstreams.first_mut();
            first.ok_or("--upstream: the manifest has no upstream whose place it could take")?.endpoints =
                vec![endpoint.clone()];
        }
        if let (Some(address), Some(first)) = (self.listen, manifest.listeners.first_mut()) {
            first.address = address;
        }
        Ok(manifest)
    }
}

/// Reads a manifest, with the environment put in.
pub fn read_manifest(path: &Path) -> Result<Manifest, String> {
    let name = path.display().to_string();
    let bytes = file::read(path, MAX_MANIFEST).map_err(|error| format!("{name}: {error}"))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let line =
            1 + error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|b| **b == b'\n').count();
        format!("{name}:{line}: the manifest is not UTF-8 text; save it as UTF-8")
    })?;
    manifest::parse(&text, &name, &environment).map_err(|mistakes| mistakes.to_string())
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
