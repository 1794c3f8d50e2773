//! `cocoon-gateway access …`: access tokens, made beside the running gateway.

use std::fmt::Write;

use clap::Subcommand;
use jiff::Timestamp;
use protocol::UserName;

use crate::access::AccessToken;
use crate::config::Config;
use crate::store::{
    AccessRole, AccessTokenId, AccessTokenRecord, NewAccessToken, OpenError, Store, StoreError,
};
use crate::world::{Clock, SystemClock};

#[derive(Debug, Subcommand)]
pub enum AccessCommand {
    /// Make an access token, and show it this once.
    Create {
        /// Whose it is: tasks belong to this name.
        #[arg(long)]
        user: UserName,
        /// `client` submits tasks and sees its own; `operator` operates the pool.
        #[arg(long, default_value = "client")]
        role: AccessRole,
    },
    /// List access tokens, without the tokens themselves.
    List,
    /// Revoke an access token. A running gateway heeds it within a second.
    Revoke {
        /// Its number, as `access list` shows it.
        id: AccessTokenId,
    },
}

/// Why access tokens cannot be managed.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    #[error("the gateway's store cannot be opened")]
    Open(#[source] OpenError),
    #[error("the gateway's store failed")]
    Store(#[source] StoreError),
    #[error("the operating system gives no random bytes")]
    Random(#[source] getrandom::Error),
    #[error("there is no access token {0} that is not revoked")]
    Unknown(AccessTokenId),
}

pub(super) async fn execute(
    command: AccessCommand,
    config: &Config,
) -> Result<String, AccessError> {
    let store = Store::open_beside(config.database.clone())
        .await
        .map_err(AccessError::Open)?;
    let now_ms = SystemClock::start().now_us() / 1_000;
    let text = match command {
        AccessCommand::Create { user, role } => {
            let (id, token) = create(&store, user, role, now_ms).await?;
            tracing::debug!(%id, "access token made");
            Ok(format!("{}\n", token.expose()))
        }
        AccessCommand::List => list(&store).await,
        AccessCommand::Revoke { id } => revoke(&store, id, now_ms).await,
    };
    store.close().await;
    text
}

/// Makes an access token and records its digest.
pub(crate) async fn create(
    store: &Store,
    user: UserName,
    role: AccessRole,
    now_ms: u64,
) -> Result<(AccessTokenId, AccessToken), AccessError> {
    let token = AccessToken::generate().map_err(AccessError::Random)?;
    let record = NewAccessToken {
        sha256: token.sha256(),
        user,
        role,
        created_ms: now_ms,
    };
    let id = store.create_access_token(record).await;
    Ok((id.map_err(AccessError::Store)?, token))
}

async fn list(store: &Store) -> Result<String, AccessError> {
    let tokens = store.access_tokens().await.map_err(AccessError::Store)?;
    let mut text = format!(
        "{:>4}  {:<20}  {:<8}  {:<20}  {:<20}  {}\n",
        "ID", "USER", "ROLE", "CREATED", "LAST USED", "REVOKED"
    );
    for token in &tokens {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}", line(token));
    }
    Ok(text)
}

fn line(token: &AccessTokenRecord) -> String {
    let time = |at_ms: Option<u64>| at_ms.map_or_else(|| "-".to_owned(), time);
    format!(
        "{:>4}  {:<20}  {:<8}  {:<20}  {:<20}  {}",
        token.id,
        token.user.as_str(),
        token.role,
        time(Some(token.created_ms)),
        time(token.last_used_ms),
        time(token.revoked_ms),
    )
}

fn time(at_ms: u64) -> String {
    let seconds = i64::try_from(at_ms / 1_000).ok();
    let timestamp = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok());
    timestamp.map_or_else(|| "?".to_owned(), |timestamp| timestamp.to_string())
}

async fn revoke(store: &Store, id: AccessTokenId, now_ms: u64) -> Result<String, AccessError> {
    let revoked = store.revoke_access_token(id, now_ms).await;
    if revoked.map_err(AccessError::Store)? {
        Ok(format!("access token {id} is revoked\n"))
    } else {
        Err(AccessError::Unknown(id))
    }
}
