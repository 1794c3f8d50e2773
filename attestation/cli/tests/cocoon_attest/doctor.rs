//! `doctor` on machines made of files: no trust domain, a good one, and one with each fault.

use std::{
    io::{Read, Write},
    os::unix::{fs::PermissionsExt, net::UnixListener},
    path::PathBuf,
};

use attestation::broker::{
    Failure, FailureKind, REQUEST_BYTES_MAX, decode_request, encode_response, frame_length,
};
use attestation_cli::Machine;
use serde_json::Value;
use simulator::{CollateralOptions, QuoteVersion, SimulatedPlatform, pcs::PcsServer};

use crate::harness::{Files, NOW_S, Said, simulated_on, text};

/// A machine under a temporary folder.
struct Fake {
    platform: SimulatedPlatform,
    files: Files,
}

impl Fake {
    /// Nothing but a CPU that is no TD's.
    fn bare() -> Self {
        let fake = Self {
            platform: SimulatedPlatform::from_seed(7),
            files: Files::new(),
        };
        fake.put("proc/cpuinfo", "flags : fpu vme\n");
        fake
    }

    /// A trust domain with a broker, all in order.
    fn good() -> Self {
        let fake = Self::bare();
        fake.put("proc/cpuinfo", "flags : fpu tdx_guest vme\n");
        fake.put("dev/tdx_guest", "");
        fake.put("proc/mounts", "none /sys/kernel/config configfs rw 0 0\n");
        fake.put("sys/kernel/config/tsm/report/.keep", "");
        fake.put("sys/firmware/acpi/tables/CCEL", "");
        fake.put(
            "sys/firmware/acpi/tables/data/CCEL",
            event_log(&fake.platform),
        );
        fake
    }

    fn put(&self, path: &str, contents: impl AsRef<[u8]>) {
        let path = self.files.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, contents).unwrap();
    }

    fn remove(&self, path: &str) {
        let path = self.files.path(path);
        if path.is_dir() {
            std::fs::remove_dir_all(path).unwrap();
        } else {
            std::fs::remove_file(path).unwrap();
        }
    }

    /// Answers one caller with a quote over what it asks for, changed or refused.
    fn broker(
        &self,
        answer: impl FnOnce([u8; 64], &SimulatedPlatform) -> Result<Vec<u8>, Failure> + Send + 'static,
    ) {
        let socket = self.socket();
        std::fs::create_dir_all(socket.parent().unwrap()).unwrap();
        let listener = UnixListener::bind(&socket).unwrap();
        std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o660)).unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut header = [0; 4];
            stream.read_exact(&mut header).unwrap();
            let mut body = vec![0; frame_length(header, REQUEST_BYTES_MAX).unwrap()];
            stream.read_exact(&mut body).unwrap();
            let report_data = *decode_request(&body).unwrap().report_data().bytes();
            let response = answer(report_data, &SimulatedPlatform::from_seed(7));
            stream
                .write_all(&encode_response(&response).unwrap())
                .unwrap();
        });
    }

    fn good_broker(&self) {
        self.broker(|report_data, platform| {
            Ok(platform.quote(QuoteVersion::V5, &platform.td(), &report_data))
        });
    }

    fn socket(&self) -> PathBuf {
        self.files.path("run/cocoon/quote.sock")
    }

    fn run(&self, more: &[&str]) -> Said {
        let machine = Machine {
            root: self.files.path(""),
            nvml_library: Some(self.files.path("no-nvml.so")),
            ..Machine::default()
        };
        simulated_on(
            &machine,
            &self.platform,
            &[&["doctor"][..], more].concat(),
            b"",
        )
    }

    fn json(&self, more: &[&str]) -> Value {
        self.run(&[more, &["--json"]].concat()).json()
    }

    fn collateral(&self, now_s: u64) -> PathBuf {
        let json = self.platform.collateral_json(&CollateralOptions::at(now_s));
        self.files.write("collateral.json", json)
    }
}

fn event_log(platform: &SimulatedPlatform) -> Vec<u8> {
    platform.event_log().ccel.bytes().to_vec()
}

/// How the examination of that name ended, and the remedy.
fn outcome<'a>(json: &'a Value, name: &str) -> (&'a str, &'a Value) {
    let examinations = json["examinations"].as_array().unwrap();
    let found = examinations.iter().find(|found| found["name"] == name);
    let found = found.unwrap_or_else(|| panic!("{name} is not in {json:#}"));
    (found["outcome"].as_str().unwrap(), &found["remedy"])
}

#[test]
fn a_machine_that_is_no_trust_domain_is_told_so() {
    let fake = Fake::bare();
    let said = fake.run(&[]);
    assert_eq!(said.exit, 2, "{said:?}");
    assert!(
        said.output.contains("no TDX trust domain"),
        "{}",
        said.output
    );
    let json = fake.json(&[]);
    assert_eq!(json["trust_domain"], false);
    assert_eq!(json["failed"], 1, "{json:#}");
    assert_eq!(outcome(&json, "trust domain").0, "FAIL");
    assert_eq!(outcome(&json, "quote round trip").0, "SKIP");
}

#[test]
fn a_good_machine_passes_with_a_verified_quote() {
    let fake = Fake::good();
    fake.good_broker();
    let collateral = fake.collateral(NOW_S);
    let said = fake.run(&["--json", "--collateral", text(&collateral)]);
    let json = said.json();
    assert_eq!(said.exit, 0, "{json:#}");
    for name in [
        "trust domain",
        "TDX guest driver",
        "configfs",
        "configfs-tsm reports",
        "quote broker's socket",
        "quote round trip",
        "quote",
        "quote's signatures",
        "clock",
        "event log (CCEL)",
    ] {
        assert_eq!(outcome(&json, name).0, "PASS", "{name}: {json:#}");
    }
    assert_eq!(outcome(&json, "NVIDIA GPU").0, "SKIP");
}

#[test]
fn each_missing_part_fails_with_its_own_remedy() {
    for (path, name, remedy) in [
        ("dev/tdx_guest", "TDX guest driver", "modprobe tdx_guest"),
        ("proc/mounts", "configfs", "sys-kernel-config.mount"),
        (
            "sys/kernel/config/tsm",
            "configfs-tsm reports",
            "CONFIG_TSM_REPORTS",
        ),
        (
            "sys/firmware/acpi/tables/CCEL",
            "event log (CCEL)",
            "firmware",
        ),
        (
            "sys/firmware/acpi/tables/data/CCEL",
            "event log (CCEL)",
            "root",
        ),
    ] {
        let fake = Fake::good();
        fake.good_broker();
        fake.remove(path);
        let json = fake.json(&[]);
        let (outcome, said) = outcome(&json, name);
        assert_eq!(outcome, "FAIL", "{path}: {json:#}");
        assert!(said.as_str().unwrap().contains(remedy), "{path}: {said}");
    }
}

#[test]
fn without_a_broker_the_socket_fails_and_configfs_is_asked() {
    let fake = Fake::good();
    let json = fake.json(&[]);
    assert_eq!(outcome(&json, "quote broker's socket").0, "FAIL");
    // The folder is no configfs: an entry in it has no attributes.
    assert_eq!(outcome(&json, "quote round trip").0, "FAIL");
    assert!(json.to_string().contains("configfs-tsm: "), "{json:#}");
    assert!(
        !fake
            .files
            .path("sys/kernel/config/tsm/report")
            .read_dir()
            .unwrap()
            .any(|entry| {
                entry
                    .unwrap()
                    .file_name()
                    .to_string_lossy()
                    .contains("doctor")
            })
    );
}

#[test]
fn a_broker_that_refuses_or_answers_another_question_fails() {
    let fake = Fake::good();
    fake.broker(|_, _| {
        Err(Failure {
            kind: FailureKind::Denied,
            sentence: "User id 7 may not ask".to_owned(),
        })
    });
    let json = fake.json(&[]);
    assert_eq!(outcome(&json, "quote round trip").0, "FAIL");
    assert!(json.to_string().contains("User id 7"), "{json:#}");
    let fake = Fake::good();
    fake.broker(|_, platform| Ok(platform.quote(QuoteVersion::V5, &platform.td(), &[1; 64])));
    let json = fake.json(&[]);
    assert_eq!(outcome(&json, "quote round trip").0, "PASS");
    assert_eq!(outcome(&json, "quote").0, "FAIL", "{json:#}");
    let fake = Fake::good();
    fake.broker(|_, _| Ok(vec![4, 0, 2, 0]));
    assert_eq!(outcome(&fake.json(&[]), "quote").0, "FAIL");
}

#[test]
fn a_log_that_does_not_explain_the_quote_fails() {
    let fake = Fake::good();
    fake.broker(|report_data, platform| {
        let mut td = platform.td();
        td.rtmrs[1] = [9; 48];
        Ok(platform.quote(QuoteVersion::V5, &td, &report_data))
    });
    let json = fake.json(&[]);
    let (ended, remedy) = outcome(&json, "event log (CCEL)");
    assert_eq!(ended, "FAIL", "{json:#}");
    assert!(
        remedy.as_str().unwrap().contains("cocoon-attest explain"),
        "{remedy}"
    );
    assert!(json.to_string().contains("RTMR1"), "{json:#}");
    let fake = Fake::good();
    fake.put("sys/firmware/acpi/tables/data/CCEL", [0; 9]);
    assert_eq!(outcome(&fake.json(&[]), "event log (CCEL)").0, "FAIL");
}

#[test]
fn a_socket_that_is_open_to_everybody_fails() {
    let fake = Fake::good();
    fake.good_broker();
    std::fs::set_permissions(fake.socket(), std::fs::Permissions::from_mode(0o666)).unwrap();
    let json = fake.json(&[]);
    let (outcome, remedy) = outcome(&json, "quote broker's socket");
    assert_eq!(outcome, "FAIL");
    assert!(remedy.as_str().unwrap().contains("0660"), "{remedy}");
}

#[test]
fn a_wrong_clock_and_a_foreign_root_show_in_the_verification() {
    let fake = Fake::good();
    fake.good_broker();
    let collateral = fake.collateral(NOW_S + 40 * 86_400);
    let json = fake.json(&["--collateral", text(&collateral)]);
    assert_eq!(outcome(&json, "clock").0, "FAIL", "{json:#}");
    assert_eq!(outcome(&json, "quote's signatures").0, "FAIL", "{json:#}");
    let fake = Fake::good();
    fake.good_broker();
    let collateral = fake.collateral(NOW_S - 40 * 86_400);
    let json = fake.json(&["--collateral", text(&collateral)]);
    let (ended, remedy) = outcome(&json, "clock");
    assert_eq!(ended, "FAIL");
    assert!(
        remedy.as_str().unwrap().contains("fetch new collateral"),
        "{remedy}"
    );
}

/// A service with this platform's collateral verifies the quote; one without it is a finding.
#[test]
fn a_collateral_service_is_asked_for_this_platform() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let server = runtime.block_on(PcsServer::start()).unwrap();
    let fake = Fake::good();
    fake.good_broker();
    let options = CollateralOptions::at(NOW_S);
    server.serve(fake.platform.pcs_parts(&options));
    let json = fake.json(&["--url", &server.url()]);
    for name in ["collateral service", "quote's signatures", "clock"] {
        assert_eq!(outcome(&json, name).0, "PASS", "{name}: {json:#}");
    }
    let fake = Fake::good();
    fake.good_broker();
    let json = fake.json(&["--url", "http://127.0.0.1:1"]);
    let (ended, remedy) = outcome(&json, "collateral service");
    assert_eq!(ended, "FAIL", "{json:#}");
    assert!(remedy.as_str().unwrap().contains("firewall"), "{remedy}");
    assert_eq!(outcome(&json, "quote's signatures").0, "SKIP");
}

#[test]
fn a_gpu_is_examined_down_to_its_mode() {
    let gpu = |fake: &Fake| {
        fake.put("sys/bus/pci/devices/0000:01:00.0/vendor", "0x10de\n");
        fake.put("sys/bus/pci/devices/0000:01:00.0/class", "0x030200\n");
    };
    let fake = Fake::bare();
    let required = fake.json(&["--require-gpu"]);
    assert_eq!(outcome(&required, "NVIDIA GPU").0, "FAIL");
    gpu(&fake);
    let json = fake.json(&[]);
    assert_eq!(outcome(&json, "NVIDIA GPU").0, "PASS");
    assert_eq!(outcome(&json, "NVIDIA driver").0, "FAIL");
    assert_eq!(outcome(&json, "GPU's confidential mode").0, "SKIP");
    fake.put(
        "proc/driver/nvidia/version",
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.90.07\n",
    );
    let json = fake.json(&[]);
    let (ended, remedy) = outcome(&json, "NVIDIA driver");
    assert_eq!(ended, "FAIL");
    assert!(
        remedy.as_str().unwrap().contains("open kernel modules"),
        "{remedy}"
    );
    fake.put(
        "proc/driver/nvidia/version",
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  550.90.07\n",
    );
    let json = fake.json(&[]);
    assert_eq!(outcome(&json, "NVIDIA driver").0, "PASS");
    // There is no management library to ask.
    let (ended, remedy) = outcome(&json, "GPU's confidential mode");
    assert_eq!(ended, "FAIL");
    assert!(
        remedy.as_str().unwrap().contains("nvidia-smi conf-compute"),
        "{remedy}"
    );
}

/// The fake NVML of `kernels/fakes`, where it has been built: confidential mode is on, and nobody has set the GPUs ready.
#[test]
fn a_gpu_that_is_not_ready_is_told_from_one_that_says_nothing() {
    let mut folder = std::env::current_exe().unwrap();
    let library = loop {
        if !folder.pop() {
            println!("SKIPPED: there is no libnvidia_ml.so; build it with `cargo build -p fakes`");
            return;
        }
        let library = folder.join("libnvidia_ml.so");
        if library.exists() {
            break library;
        }
    };
    let fake = Fake::bare();
    fake.put("sys/bus/pci/devices/0000:01:00.0/vendor", "0x10de\n");
    fake.put("sys/bus/pci/devices/0000:01:00.0/class", "0x030200\n");
    fake.put(
        "proc/driver/nvidia/version",
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05\n",
    );
    let machine = Machine {
        root: fake.files.path(""),
        nvml_library: Some(library),
        ..Machine::default()
    };
    let said = simulated_on(&machine, &fake.platform, &["doctor", "--json"], b"");
    let json = said.json();
    let (ended, remedy) = outcome(&json, "GPU's confidential mode");
    assert_eq!(ended, "FAIL", "{json:#}");
    assert!(remedy.as_str().unwrap().contains("-grs"), "{remedy}");
    assert!(json.to_string().contains("not ready for work"), "{json:#}");
}
