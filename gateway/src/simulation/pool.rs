//! The gateway of a run: its store, its blobs and its routers, without listeners; and what a SIGKILL leaves of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use attestation::gpu::GpuTrustAnchor;
use attestation::{AppraisalPolicy, Binding, Collateral, Role, SuiteHash, TrustAnchor};
use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE};
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use protocol::Sha256Digest;
use serde::de::DeserializeOwned;
use simulator::{CollateralOptions, SimulatedPlatform};
use tempfile::TempDir;
use tokio::sync::OnceCell;
use tower::ServiceExt;

use super::clock::{EPOCH_MS, SimulatedClock};
use crate::access::AccessToken;
use crate::admission::in_force::{self, Grounds};
use crate::config::{Attestation, Config, DATABASE, Listener, UserLimits};
use crate::gateway::Gateway;
use crate::run;
use crate::store::{AccessRole, Location, NewAccessToken, Store};
use crate::{api, world::Clock};

/// Who may submit.
pub(super) const USERS: [&str; 2] = ["ada", "bob"];
const OPERATOR: &str = "operator";

/// What every run forges with; made once, for it takes longer than a run.
pub(super) struct Forge {
    pub(super) platform: SimulatedPlatform,
    /// The code that every worker claims to compute with.
    pub(super) module: Sha256Digest,
    /// Under which sessions are opened where nothing is appraised.
    pub(super) grounds: Grounds,
    anchors: (TrustAnchor, GpuTrustAnchor),
    policy: AppraisalPolicy,
    collateral: Collateral,
    routes: Router<Arc<Gateway>>,
}

impl Forge {
    pub(super) fn shared() -> &'static Self {
        static FORGE: OnceLock<Forge> = OnceLock::new();
        FORGE.get_or_init(|| {
            let platform = SimulatedPlatform::from_seed(1);
            let binding = Binding {
                role: Role::Client,
                hash: SuiteHash::Sha256,
                exported: [0; 32],
                attester_spki: Vec::new(),
                peer_spki: Vec::new(),
            };
            Self {
                module: Sha256Digest::from_bytes(platform.claims(&binding).module_digest),
                grounds: in_force::tests::in_force().1,
                anchors: (platform.trust_anchor(), platform.gpu_trust_anchor()),
                policy: AppraisalPolicy::from_toml(&platform.policy_toml()).unwrap(),
                collateral: platform.collateral(&CollateralOptions::at(EPOCH_MS / 1_000)),
                platform,
                routes: api::routes(),
            }
        })
    }
}

/// A new gateway's database, with who may speak to it.
struct Template {
    database: Vec<u8>,
    tokens: BTreeMap<&'static str, AccessToken>,
}

impl Template {
    /// Made once: a third of a run would go into making it.
    async fn shared() -> &'static Self {
        static TEMPLATE: OnceCell<Template> = OnceCell::const_new();
        TEMPLATE.get_or_init(Self::new).await
    }

    async fn new() -> Self {
        let folder = folder();
        let database = folder.path().join(DATABASE);
        let store = Store::open(&database).await.unwrap();
        let mut tokens = BTreeMap::new();
        let roles = USERS.map(|user| (user, AccessRole::Client));
        for (user, role) in roles.into_iter().chain([(OPERATOR, AccessRole::Operator)]) {
            let token = AccessToken::generate().unwrap();
            let record = NewAccessToken {
                sha256: token.sha256(),
                user: user.parse().unwrap(),
                role,
                created_ms: EPOCH_MS,
            };
            store.create_access_token(record).await.unwrap();
            tokens.insert(user, token);
        }
        // Closed, it is one file.
        store.close().await;
        drop(store);
        Self {
            database: std::fs::read(database).unwrap(),
            tokens,
        }
    }
}

/// A state folder, and the gateway that runs on it, if one does.
pub(super) struct Pool {
    folder: TempDir,
    clock: Arc<SimulatedClock>,
    lease: Duration,
    /// Each crash leaves its files to the next one.
    generation: u32,
    running: Option<Running>,
    tokens: &'static BTreeMap<&'static str, AccessToken>,
    writes_before: u64,
}

struct Running {
    gateway: Arc<Gateway>,
    api: Router,
}

/// What a router answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

impl Answer {
    pub(super) fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(super) fn text(&self) -> String {
        format!("{}: {}", self.status, String::from_utf8_lossy(&self.body))
    }
}

impl Pool {
    pub(super) async fn start(clock: Arc<SimulatedClock>, lease: Duration) -> Self {
        let template = Template::shared().await;
        let mut pool = Self {
            folder: folder(),
            clock,
            lease,
            generation: 0,
            running: None,
            tokens: &template.tokens,
            writes_before: 0,
        };
        std::fs::create_dir(pool.state()).unwrap();
        std::fs::write(pool.state().join(DATABASE), &template.database).unwrap();
        pool.restart().await;
        pool
    }

    /// The gateway starts on what there is.
    pub(super) async fn restart(&mut self) {
        let forge = Forge::shared();
        let clock: Arc<dyn Clock> = Arc::<SimulatedClock>::clone(&self.clock);
        let gateway = run::open(
            &self.config(),
            forge.policy.clone(),
            clock,
            forge.anchors.clone(),
        )
        .await
        .unwrap();
        let family = forge.collateral.family().unwrap();
        let shelved = BTreeMap::from([(family, forge.collateral.clone())]);
        gateway.relying_party.collateral.replace(shelved, true);
        let api = api::serving(forge.routes.clone(), Arc::clone(&gateway));
        self.running = Some(Running { gateway, api });
    }

    /// SIGKILL: what is on disk at this moment is all that remains. Whoever holds a part of the gateway drops it first.
    pub(super) fn crash(&mut self) {
        let Some(running) = self.running.take() else {
            return;
        };
        let statistics = running.gateway.store.write_statistics();
        self.writes_before += statistics.operations;
        let former = self.state();
        self.generation += 1;
        let next = self.state();
        std::fs::create_dir(&next).unwrap();
        // While the store is open: closing it would fold its log into the database, which a SIGKILL does not do.
        for file in [DATABASE.to_owned(), format!("{DATABASE}-wal")] {
            std::fs::copy(former.join(&file), next.join(&file)).unwrap();
        }
        drop(running);
        std::fs::rename(former.join("blobs"), next.join("blobs")).unwrap();
        std::fs::remove_dir_all(former).unwrap();
    }

    /// As a crash, but the database becomes what it was when `image` was taken: a gateway that breaks its word.
    pub(super) fn crash_back_to(&mut self, image: &Path) {
        self.crash();
        for file in [DATABASE.to_owned(), format!("{DATABASE}-wal")] {
            std::fs::copy(image.join(&file), self.state().join(&file)).unwrap();
        }
    }

    /// The database as it is now.
    pub(super) fn image(&self) -> PathBuf {
        let image = self.folder.path().join("image");
        std::fs::create_dir_all(&image).unwrap();
        for file in [DATABASE.to_owned(), format!("{DATABASE}-wal")] {
            std::fs::copy(self.state().join(&file), image.join(&file)).unwrap();
        }
        image
    }

    pub(super) fn is_up(&self) -> bool {
        self.running.is_some()
    }

    pub(super) fn gateway(&self) -> &Arc<Gateway> {
        &self.running.as_ref().unwrap().gateway
    }

    pub(super) fn store(&self) -> &Store {
        &self.gateway().store
    }

    /// Writes of all generations.
    pub(super) fn writes(&self) -> u64 {
        let running = self.running.as_ref();
        let now = running.map_or(0, |running| {
            running.gateway.store.write_statistics().operations
        });
        self.writes_before + now
    }

    /// A request of the API, as a user or the operator makes it.
    pub(super) async fn call(
        &self,
        user: Option<usize>,
        method: Method,
        path: &str,
        body: Option<(&str, Vec<u8>)>,
    ) -> Answer {
        let token = &self.tokens[user.map_or(OPERATOR, |user| USERS[user])];
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(AUTHORIZATION, format!("Bearer {}", token.expose()));
        let request = match body {
            None => request.body(Body::empty()),
            Some((media_type, bytes)) => request
                .header(CONTENT_TYPE, media_type)
                .header(CONTENT_LENGTH, bytes.len())
                .body(Body::from(bytes)),
        };
        let api = &self.running.as_ref().unwrap().api;
        exchange(api, request.unwrap()).await
    }

    fn state(&self) -> PathBuf {
        self.folder
            .path()
            .join(format!("state-{}", self.generation))
    }

    fn config(&self) -> Config {
        let listener = Listener {
            address: "127.0.0.1:0".parse().unwrap(),
            certificate: PathBuf::new(),
            key: PathBuf::new(),
        };
        // As much as a clock that jumps may ever take.
        let users = UserLimits {
            requests_per_s: 1_000_000,
            burst_max: 1_000_000,
            in_flight_max: 65_536,
        };
        Config {
            state_dir: self.state(),
            database: Location::File(self.state().join(DATABASE)),
            blobs_dir: self.state().join("blobs"),
            users,
            worker: listener.clone(),
            metrics_address: listener.address,
            api: listener,
            attestation: Attestation {
                appraisal_policy: PathBuf::new(),
                collateral_dir: PathBuf::new(),
                pccs_urls: Vec::new(),
                pccs_ca: None,
                gpu_references_dir: None,
                reattest_interval: Duration::from_secs(40),
                reattest_grace: Duration::from_secs(10),
                stale_session: Duration::from_secs(20),
                session_age_max: Duration::from_mins(10),
            },
            lease_duration: self.lease,
            retention: Duration::from_hours(24),
            queued_per_user_max: 1_000,
            blob_bytes_per_user_max: crate::config::BLOB_BYTES_PER_USER_DEFAULT,
        }
    }
}

/// In memory where the machine has such a file system: SQLite flushes at each commit.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let builder = tempfile::Builder::new();
    builder
        .tempdir_in(memory)
        .or_else(|_| builder.tempdir())
        .unwrap()
}

/// One request and its whole answer.
pub(super) async fn exchange(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    Answer {
        status: parts.status,
        body: body.collect().await.unwrap().to_bytes(),
    }
}
