//! The source of real quotes: Linux' configfs-tsm (`Documentation/ABI/testing/configfs-tsm-report`).
//!
//! ```text
//! mkdir <base>/<entry>     the kernel fills it with attributes
//! provider                 must read "tdx_guest"
//! generation  → g          counts writes to the entry
//! inblob      ← 64 bytes   report data
//! outblob     → quote      blocks until the quoting enclave on the VMM's side has answered
//! generation  → g + 1      anything else: somebody wrote in between, and the quote may be about their bytes
//! rmdir <base>/<entry>     on every path
//! ```

mod errno;
#[cfg(test)]
pub(super) mod tests;

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use attestation::ReportData;
use attestation::evidence::QUOTE_BYTES_MAX;

use errno::{Remedy, remedy};

/// Where Linux shows the reports when configfs is mounted in its usual place.
pub const BASE_DEFAULT: &str = "/sys/kernel/config/tsm/report";
/// The provider of a TDX guest; anything else would make quotes that the pool's verifier does not read.
const PROVIDER: &str = "tdx_guest";
/// Somebody who keeps writing into our own entry is no accident.
const ATTEMPTS_MAX: u32 = 3;
/// Attributes other than the blobs are one short line.
const LINE_BYTES_MAX: u64 = 256;

/// Why there is no quote. Every variant that stands for an errno says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum TsmError {
    #[error("cannot {operation} {}: {remedy}", path.display())]
    Io {
        operation: &'static str,
        path: PathBuf,
        remedy: Remedy,
        #[source]
        source: io::Error,
    },
    #[error(
        "the provider of configfs-tsm is `{0}`, not `{PROVIDER}`: run the worker inside an Intel TDX trust domain"
    )]
    Provider(String),
    #[error(
        "`{0}` in `generation` is not a number: this Linux kernel's configfs-tsm is of another kind"
    )]
    Generation(String),
    #[error(
        "another process wrote into the broker's own configfs-tsm entry {ATTEMPTS_MAX} times in a row: find it, nothing but cocoon-quote may"
    )]
    Interference,
    #[error(
        "the kernel answered with an empty quote: look at the quote generation service on the VMM's side"
    )]
    Empty,
    #[error("the kernel's quote has more than {QUOTE_BYTES_MAX} bytes")]
    TooLarge,
}

impl TsmError {
    /// Whether this machine has no source of quotes at all, as against one that failed this time.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        match self {
            Self::Io { remedy, .. } => remedy.is_absent(),
            Self::Provider(_) | Self::Generation(_) => true,
            Self::Interference | Self::Empty | Self::TooLarge => false,
        }
    }
}

type DirectoryCall = Arc<dyn Fn(&Path) -> io::Result<()> + Send + Sync>;

/// Making and removing an entry: the two calls that configfs answers unlike any other file system, because the kernel
/// fills a new entry with attributes and takes them along when it is removed. Everything else is plain reads and writes.
#[derive(Clone)]
pub struct EntryCalls {
    make: DirectoryCall,
    remove: DirectoryCall,
}

impl EntryCalls {
    /// `mkdir` and `rmdir`.
    #[must_use]
    pub fn linux() -> Self {
        Self {
            make: Arc::new(|path| std::fs::create_dir(path)),
            remove: Arc::new(|path| std::fs::remove_dir(path)),
        }
    }
}

impl fmt::Debug for EntryCalls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("EntryCalls")
    }
}

/// One configfs-tsm directory. The caller makes one quote at a time.
#[derive(Debug)]
pub struct TsmReports {
    base: PathBuf,
    calls: EntryCalls,
    entries: AtomicU64,
}

impl TsmReports {
    /// The reports under `base`, [`BASE_DEFAULT`] outside tests.
    #[must_use]
    pub fn new(base: PathBuf) -> Self {
        Self::with_calls(base, EntryCalls::linux())
    }

    fn with_calls(base: PathBuf, calls: EntryCalls) -> Self {
        Self {
            base,
            calls,
            entries: AtomicU64::new(0),
        }
    }

    /// A quote over `report_data`. Blocks for about a second on real machines.
    pub fn quote(&self, report_data: &ReportData) -> Result<Vec<u8>, TsmError> {
        for _ in 0..ATTEMPTS_MAX {
            // A new entry each time: whatever the other writer left behind does not matter to it.
            if let Some(quote) = self.entry()?.quote(report_data)? {
                return Ok(quote);
            }
        }
        Err(TsmError::Interference)
    }

    fn entry(&self) -> Result<Entry<'_>, TsmError> {
        let number = self.entries.fetch_add(1, Ordering::Relaxed);
        let name = format!("cocoon-quote-{}-{number}", std::process::id());
        let path = self.base.join(name);
        (self.calls.make)(&path).map_err(failed("make", &path))?;
        Ok(Entry {
            path,
            calls: &self.calls,
        })
    }
}

/// An entry of our own; removed when dropped, so on every path.
struct Entry<'a> {
    path: PathBuf,
    calls: &'a EntryCalls,
}

impl Entry<'_> {
    /// The quote, or nothing when somebody else wrote into the entry meanwhile.
    fn quote(&self, report_data: &ReportData) -> Result<Option<Vec<u8>>, TsmError> {
        let provider = self.line("provider")?;
        if provider != PROVIDER {
            return Err(TsmError::Provider(provider));
        }
        let before = self.generation()?;
        self.write("inblob", report_data.bytes())?;
        let quote = self.read("outblob", QUOTE_BYTES_MAX)?;
        let after = self.generation()?;
        if before.checked_add(1) != Some(after) {
            return Ok(None);
        }
        if quote.is_empty() {
            return Err(TsmError::Empty);
        }
        Ok(Some(quote))
    }

    fn generation(&self) -> Result<u64, TsmError> {
        let text = self.line("generation")?;
        text.parse().map_err(|_| TsmError::Generation(text))
    }

    fn line(&self, attribute: &'static str) -> Result<String, TsmError> {
        let path = self.path.join(attribute);
        let mut text = String::new();
        File::open(&path)
            .and_then(|file| file.take(LINE_BYTES_MAX).read_to_string(&mut text))
            .map_err(failed("read", &path))?;
        Ok(text.trim_ascii().to_owned())
    }

    fn read(&self, attribute: &'static str, bytes_max: usize) -> Result<Vec<u8>, TsmError> {
        let path = self.path.join(attribute);
        let mut bytes = Vec::new();
        let limit = u64::try_from(bytes_max)
            .unwrap_or(u64::MAX)
            .saturating_add(1);
        File::open(&path)
            .and_then(|file| file.take(limit).read_to_end(&mut bytes))
            .map_err(failed("read", &path))?;
        if bytes.len() > bytes_max {
            return Err(TsmError::TooLarge);
        }
        Ok(bytes)
    }

    /// One `write` call: configfs takes a binary attribute over when the file is closed, and a second call would append.
    fn write(&self, attribute: &'static str, bytes: &[u8]) -> Result<(), TsmError> {
        let path = self.path.join(attribute);
        File::options()
            .write(true)
            .open(&path)
            .and_then(|mut file| file.write_all(bytes))
            .map_err(failed("write", &path))
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        if let Err(error) = (self.calls.remove)(&self.path) {
            tracing::warn!(entry = %self.path.display(), %error, "a configfs-tsm entry stays behind; remove it with rmdir");
        }
    }
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> TsmError {
    let path = path.to_owned();
    move |source| TsmError::Io {
        operation,
        path,
        remedy: remedy(&source),
        source,
    }
}
