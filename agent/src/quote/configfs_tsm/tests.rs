//! configfs-tsm against a fake of it: a temporary directory whose entries appear with their attributes and vanish with
//! them, as the kernel does it. `outblob` is a FIFO, so that the fake answers when it is read, from what `inblob` then holds.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use attestation::ReportData;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::io::Errno;

use super::*;

/// How the fake kernel behaves.
#[derive(Clone)]
pub(crate) struct Behaviour {
    pub(crate) provider: &'static str,
    pub(crate) generation: &'static str,
    /// By how much `generation` has grown when the quote was read, for each entry in turn; 1 from then on.
    pub(crate) growth: Vec<u64>,
    pub(crate) make: Option<Errno>,
    pub(crate) quote_bytes: usize,
    pub(crate) missing: Option<&'static str>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            provider: "tdx_guest\n",
            generation: "0\n",
            growth: Vec::new(),
            make: None,
            quote_bytes: 128,
            missing: None,
        }
    }
}

/// What the fake kernel saw.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) made: Vec<PathBuf>,
    pub(crate) report_data: Vec<Vec<u8>>,
    /// Entries that exist now, and the most that ever did.
    pub(crate) present: usize,
    pub(crate) present_max: usize,
}

pub(crate) struct FakeTsm {
    folder: tempfile::TempDir,
    seen: Arc<Mutex<Seen>>,
}

impl FakeTsm {
    pub(crate) fn new(behaviour: &Behaviour) -> (Self, TsmReports) {
        let folder = tempfile::tempdir().unwrap();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let reports = TsmReports::with_calls(folder.path().to_owned(), calls(behaviour, &seen));
        (Self { folder, seen }, reports)
    }

    pub(crate) fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }

    pub(crate) fn is_empty(&self) -> bool {
        std::fs::read_dir(self.folder.path())
            .unwrap()
            .next()
            .is_none()
    }
}

fn calls(behaviour: &Behaviour, seen: &Arc<Mutex<Seen>>) -> EntryCalls {
    let (behaviour, made, removed) = (behaviour.clone(), Arc::clone(seen), Arc::clone(seen));
    EntryCalls {
        make: Arc::new(move |path| match behaviour.make {
            Some(errno) => Err(errno.into()),
            None => make(path, &behaviour, &made),
        }),
        remove: Arc::new(move |path| {
            removed.lock().unwrap().present -= 1;
            std::fs::remove_dir_all(path)
        }),
    }
}

fn make(path: &Path, behaviour: &Behaviour, seen: &Arc<Mutex<Seen>>) -> io::Result<()> {
    std::fs::create_dir(path)?;
    let number = {
        let mut seen = seen.lock().unwrap();
        seen.made.push(path.to_owned());
        seen.present += 1;
        seen.present_max = seen.present_max.max(seen.present);
        seen.made.len() - 1
    };
    std::fs::write(path.join("provider"), behaviour.provider)?;
    std::fs::write(path.join("generation"), behaviour.generation)?;
    std::fs::write(path.join("inblob"), "")?;
    mknodat(
        CWD,
        path.join("outblob"),
        FileType::Fifo,
        Mode::from_raw_mode(0o600),
        0,
    )?;
    if let Some(missing) = behaviour.missing {
        std::fs::remove_file(path.join(missing))?;
    }
    let growth = behaviour.growth.get(number).copied().unwrap_or(1);
    let (path, seen, bytes) = (path.to_owned(), Arc::clone(seen), behaviour.quote_bytes);
    std::thread::spawn(move || answer(&path, growth, bytes, &seen));
    Ok(())
}

/// Blocks until `outblob` is opened for reading; when the entry goes first, the thread is left with an unlinked FIFO.
fn answer(path: &Path, growth: u64, bytes: usize, seen: &Mutex<Seen>) {
    let Ok(mut outblob) = std::fs::OpenOptions::new()
        .write(true)
        .open(path.join("outblob"))
    else {
        return;
    };
    let report_data = std::fs::read(path.join("inblob")).unwrap();
    std::fs::write(path.join("generation"), format!("{growth}\n")).unwrap();
    let mut quote = report_data.clone();
    quote.resize(bytes, 0xaa);
    seen.lock().unwrap().report_data.push(report_data);
    outblob.write_all(&quote).ok();
}

fn report_data() -> ReportData {
    ReportData([7; 64])
}

/// One quote from a fake of the given behaviour; whatever comes of it, no entry may stay behind.
fn quote(behaviour: &Behaviour) -> (Result<Vec<u8>, TsmError>, FakeTsm) {
    let (fake, reports) = FakeTsm::new(behaviour);
    let quote = reports.quote(&report_data());
    assert!(fake.is_empty(), "an entry stayed behind");
    (quote, fake)
}

#[test]
fn a_quote_covers_exactly_the_report_data() {
    let (quote, fake) = quote(&Behaviour::default());
    let quote = quote.unwrap();
    assert_eq!(quote.len(), 128);
    assert_eq!(quote[..64], [7; 64]);
    assert_eq!(fake.seen().report_data, [vec![7; 64]]);
}

#[test]
fn entries_have_names_of_their_own() {
    let (fake, reports) = FakeTsm::new(&Behaviour::default());
    for _ in 0..3 {
        reports.quote(&report_data()).unwrap();
    }
    let made = fake.seen().made.clone();
    assert_eq!(made.len(), 3);
    assert!(made[0] != made[1] && made[1] != made[2]);
    let name = made[0].file_name().unwrap().to_str().unwrap();
    assert!(name.contains(&std::process::id().to_string()), "{name}");
}

#[test]
fn another_provider_is_refused() {
    let behaviour = Behaviour {
        provider: "sev_guest\n",
        ..Behaviour::default()
    };
    let error = quote(&behaviour).0.unwrap_err();
    assert!(
        matches!(&error, TsmError::Provider(seen) if seen == "sev_guest"),
        "{error}"
    );
    assert!(error.is_absent());
}

#[test]
fn one_interference_is_overcome_and_many_are_not() {
    let (once, fake) = quote(&Behaviour {
        growth: vec![2],
        ..Behaviour::default()
    });
    assert_eq!(once.unwrap().len(), 128);
    assert_eq!(fake.seen().made.len(), 2);
    let (often, fake) = quote(&Behaviour {
        growth: vec![2, 0, 3, 1],
        ..Behaviour::default()
    });
    assert!(matches!(often, Err(TsmError::Interference)));
    assert_eq!(fake.seen().made.len(), 3);
}

#[test]
fn a_generation_that_is_no_number_is_refused() {
    let behaviour = Behaviour {
        generation: "many\n",
        ..Behaviour::default()
    };
    assert!(matches!(quote(&behaviour).0, Err(TsmError::Generation(text)) if text == "many"));
    // At the end of its range it cannot have grown by one.
    let behaviour = Behaviour {
        generation: "18446744073709551615",
        ..Behaviour::default()
    };
    assert!(matches!(quote(&behaviour).0, Err(TsmError::Interference)));
}

#[test]
fn quotes_of_no_length_and_of_too_much_are_refused() {
    assert!(matches!(
        quote(&Behaviour {
            quote_bytes: 0,
            ..Behaviour::default()
        })
        .0,
        Err(TsmError::Empty)
    ));
    let behaviour = Behaviour {
        quote_bytes: QUOTE_BYTES_MAX + 1,
        ..Behaviour::default()
    };
    assert!(matches!(quote(&behaviour).0, Err(TsmError::TooLarge)));
    let behaviour = Behaviour {
        quote_bytes: QUOTE_BYTES_MAX,
        ..Behaviour::default()
    };
    assert_eq!(quote(&behaviour).0.unwrap().len(), QUOTE_BYTES_MAX);
}

#[test]
fn a_missing_attribute_is_named_and_leaves_nothing_behind() {
    for missing in ["provider", "generation", "inblob", "outblob"] {
        let error = quote(&Behaviour {
            missing: Some(missing),
            ..Behaviour::default()
        })
        .0
        .unwrap_err();
        assert!(error.to_string().contains(missing), "{error}");
        assert!(error.to_string().contains("CONFIG_TSM_REPORTS"), "{error}");
    }
}

#[test]
fn a_directory_that_is_not_there_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let error = TsmReports::new(folder.path().join("tsm/report"))
        .quote(&report_data())
        .unwrap_err();
    assert!(
        matches!(
            &error,
            TsmError::Io {
                operation: "make",
                ..
            }
        ),
        "{error}"
    );
    assert!(
        error.to_string().contains("CONFIG_TSM_REPORTS") && error.is_absent(),
        "{error}"
    );
}

#[test]
fn an_entry_that_cannot_be_made_is_an_error_with_a_remedy() {
    for (errno, words, is_absent) in [
        (Errno::NXIO, "tdx_guest", true),
        (Errno::ACCESS, "permission", false),
        (Errno::BUSY, "ask again", false),
    ] {
        let error = quote(&Behaviour {
            make: Some(errno),
            ..Behaviour::default()
        })
        .0
        .unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(error.is_absent(), is_absent);
    }
}
