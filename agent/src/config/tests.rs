//! The configuration file: complete or refused, with every mistake named.

use std::path::PathBuf;

use super::*;

const SECRET: &str = "6b1f3bb9a4a29a1bd4f0d4a9a7f0c8a36b1f3bb9a4a29a1bd4f0d4a9a7f0c8a3";

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("secret"), format!("{SECRET}\n")).unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let ca = rcgen::CertificateParams::default()
            .self_signed(&key)
            .unwrap();
        std::fs::write(folder.path().join("ca.pem"), ca.pem()).unwrap();
        Self(folder)
    }

    fn complete(&self) -> String {
        let folder = self.0.path().display();
        format!(
            r#"
            worker_id = "worker-1"
            enrolment_secret_file = "{folder}/secret"
            quote_socket = "/run/cocoon/quote.sock"
            executor = "cpu"
            metrics_listen = "127.0.0.1:0"
            state_dir = "{folder}"

            [gateway]
            address = "localhost:7443"
            server_name = "localhost"
            pool_ca_file = "{folder}/ca.pem"
            "#
        )
    }

    fn load(&self, text: &str) -> Result<Config, ConfigError> {
        let path = self.0.path().join("worker.toml");
        std::fs::write(&path, text).unwrap();
        Config::load(&path)
    }

    /// The mistakes in a complete file after one change.
    fn mistakes(&self, from: &str, to: &str) -> Vec<Mistake> {
        let text = self.complete();
        assert!(text.contains(from), "{from}");
        match self.load(&text.replace(from, to)) {
            Err(ConfigError::Mistakes { mistakes, .. }) => mistakes,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_complete_file_is_read() {
    let folder = Folder::new();
    let config = folder.load(&folder.complete()).unwrap();
    assert_eq!(config.worker_id.as_str(), "worker-1");
    assert_eq!(config.executor, ExecutorKind::Cpu);
    assert_eq!(config.capacity, 64);
    assert_eq!(config.gateway.pool_ca.len(), 1);
    assert_eq!(config.ocsp_responder, None);
    assert_eq!(config.event_log, None);
    assert_eq!((config.gpu_device, config.cuda_libraries), (None, None));
    assert_eq!(config.model, None);
    assert_eq!(
        config.digest,
        Sha256Digest::of(folder.complete().as_bytes())
    );
}

#[test]
fn the_gpu_that_computes_is_read() {
    let folder = Folder::new();
    let complete = folder.complete().replace("\"cpu\"", "\"cuda\"");
    let gpu = "[gpu]\ndevice = \"GPU-1\"\ncuda_libraries = \"/usr\"\n";
    let config = folder.load(&format!("{complete}\n{gpu}")).unwrap();
    assert_eq!(config.gpu_device.as_deref(), Some("GPU-1"));
    assert_eq!(config.cuda_libraries, Some(PathBuf::from("/usr")));
    let numbers = "[gpu]\ndevice = 1\ncuda_libraries = 2\n";
    let mistakes = |complete: &str, gpu: &str| {
        let mistaken = folder.load(&format!("{complete}\n{gpu}"));
        let Err(ConfigError::Mistakes { mistakes, .. }) = mistaken else {
            panic!("{mistaken:?}")
        };
        let keys = mistakes.into_iter().map(|mistake| mistake.key);
        keys.collect::<Vec<_>>()
    };
    let both = ["gpu.device", "gpu.cuda_libraries"];
    assert_eq!(mistakes(&complete, numbers), both);
    assert_eq!(mistakes(&folder.complete(), gpu), both, "on the CPU");
    assert_eq!(mistakes(&complete, "[gpu]\ndevice = \"0\"\n"), both[..1]);
    for folders in [
        "/nonexistent/cuda",
        "/opt/cuda:/tmp",
        "/opt/cuda;/tmp",
        "/opt/$ORIGIN",
    ] {
        let gpu = format!("[gpu]\ncuda_libraries = \"{folders}\"\n");
        assert_eq!(mistakes(&complete, &gpu), both[1..], "{folders}");
    }
}

#[test]
fn every_mistake_is_named_at_once() {
    let folder = Folder::new();
    let error = folder
        .load("capacity = 0\ncolour = 1\n[gateway]\naddress = \"nowhere\"\nshape = 2")
        .unwrap_err();
    let ConfigError::Mistakes { mistakes, .. } = &error else {
        panic!("{error}")
    };
    let mut keys: Vec<_> = mistakes
        .iter()
        .map(|mistake| mistake.key.as_str())
        .collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        [
            "capacity",
            "colour",
            "enrolment_secret_file",
            "executor",
            "gateway.address",
            "gateway.pool_ca_file",
            "gateway.server_name",
            "gateway.shape",
            "metrics_listen",
            "quote_socket",
            "state_dir",
            "worker_id",
        ]
    );
    assert!(error.to_string().contains("has 12 mistakes"), "{error}");
}

#[test]
fn a_worker_must_be_told_what_it_runs_on() {
    let folder = Folder::new();
    let [mistake] = &folder.mistakes("executor = \"cpu\"", "")[..] else {
        panic!()
    };
    assert!(mistake.what.contains("executor = \"cpu\""), "{mistake}");
    assert_eq!(folder.mistakes("\"cpu\"", "\"gpu\"")[0].key, "executor");
}

#[test]
fn each_key_has_its_own_refusal() {
    let folder = Folder::new();
    let cases = [
        ("\"worker-1\"", "\"Worker 1\"", "worker_id"),
        ("/secret\"", "/nothing\"", "enrolment_secret_file"),
        ("/secret\"", "/ca.pem\"", "enrolment_secret_file"),
        ("\"/run/cocoon", "\"run/cocoon", "quote_socket"),
        ("127.0.0.1:0", "0.0.0.0:9465", "metrics_listen"),
        ("127.0.0.1:0", "localhost", "metrics_listen"),
        ("localhost:7443", "localhost:0", "gateway.address"),
        ("/ca.pem\"", "/secret\"", "gateway.pool_ca_file"),
        (
            "server_name = \"localhost\"",
            "server_name = \"localhost:7443\"",
            "gateway.server_name",
        ),
        ("[gateway]", "[event_log]\n[gateway]", "event_log.ccel"),
        ("[gateway]", "[model]\n[gateway]", "model.directory"),
        (
            "[gateway]",
            "[model]\ndirectory = \"/nowhere\"\n[gateway]",
            "model.directory",
        ),
        (
            "[gateway]",
            "[event_log]\nccel = \"/c\"\nruntime = \"r\"\n[gateway]",
            "event_log.runtime",
        ),
        ("[gateway]", "capacity = 1001\n[gateway]", "capacity"),
        ("[gateway]", "capacity = \"4\"\n[gateway]", "capacity"),
        (
            "[gateway]",
            "drain_limit_s = -1\n[gateway]",
            "drain_limit_s",
        ),
        (
            "[gateway]",
            "task_time_limit_s = 0\n[gateway]",
            "task_time_limit_s",
        ),
    ];
    for (from, to, key) in cases {
        let mistakes = folder.mistakes(from, to);
        assert_eq!(mistakes.len(), 1, "{mistakes:?}");
        assert_eq!(mistakes[0].key, key, "{mistakes:?}");
    }
}

#[test]
fn event_logs_are_named_by_file() {
    let folder = Folder::new();
    let table = "[event_log]\nccel = \"/c\"\n";
    let config = folder.load(&(folder.complete() + table)).unwrap();
    let mut wanted = EventLogConfig {
        ccel: "/c".into(),
        runtime: None,
    };
    assert_eq!(config.event_log.as_ref(), Some(&wanted));
    let table = format!("{table}runtime = \"/r\"\n");
    let config = folder.load(&(folder.complete() + &table)).unwrap();
    wanted.runtime = Some("/r".into());
    assert_eq!(config.event_log, Some(wanted));
}

#[test]
fn the_secret_is_shown_nowhere() {
    let folder = Folder::new();
    let config = folder.load(&folder.complete()).unwrap();
    let shown = format!("{config:?}");
    assert!(
        !shown.contains(SECRET) && !shown.contains("107, 31"),
        "{shown}"
    );
    std::fs::write(folder.0.path().join("secret"), "6b1f3b").unwrap();
    let error = folder.load(&folder.complete()).unwrap_err().to_string();
    assert!(!error.contains("6b1f3b"), "{error}");
}

#[test]
fn what_is_no_file_and_no_toml_is_refused() {
    let folder = Folder::new();
    assert!(matches!(
        Config::load(&PathBuf::from("/nonexistent")),
        Err(ConfigError::Read { .. })
    ));
    assert!(matches!(
        folder.load("worker_id = "),
        Err(ConfigError::Toml { .. })
    ));
    assert!(matches!(
        folder.load(&"#".repeat(300_000)),
        Err(ConfigError::TooLarge { .. })
    ));
}

#[test]
fn an_ocsp_responder_is_a_url_of_http() {
    let folder = Folder::new();
    let text = |url| folder.complete() + &format!("[gpu]\nocsp_responder = \"{url}\"\n");
    let url = "https://ocsp.ndis.nvidia.com/";
    let config = folder.load(&text(url)).unwrap();
    assert_eq!(config.ocsp_responder.unwrap().to_string(), url);
    for wrong in ["ocsp.ndis.nvidia.com", "file:///etc/ocsp", "", "https://"] {
        let Err(ConfigError::Mistakes { mistakes, .. }) = folder.load(&text(wrong)) else {
            panic!("{wrong}")
        };
        assert_eq!(mistakes[0].key, "gpu.ocsp_responder", "{wrong}");
    }
}
