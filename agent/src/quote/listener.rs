//! The broker's listening socket: systemd's, or one of its own.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::net::{AddressFamily, sockopt};

/// The broker's group may ask; [`super::broker::Rules::allowed_uids`] then looks at the user.
const SOCKET_MODE: u32 = 0o660;

/// Why there is no listening socket.
#[derive(Debug, thiserror::Error)]
pub enum ListenerError {
    #[error("cannot read what systemd passed")]
    Activation(#[source] io::Error),
    #[error("systemd passed {0} sockets; cocoon-quote.socket has one")]
    SocketCount(usize),
    #[error("standard input is no listening Unix socket: the unit needs StandardInput=socket")]
    StandardInput(#[source] io::Error),
    #[error("`socket` is missing: name a path, or start cocoon-quote through cocoon-quote.socket")]
    NoSocket,
    #[error("{} exists and is no socket", .0.display())]
    NotASocket(PathBuf),
    #[error("cannot listen on {}", path.display())]
    Bind {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Takes systemd's socket over when there is one, else listens on `path`.
pub fn listen(path: Option<&Path>) -> Result<UnixListener, ListenerError> {
    let passed = sd_notify::listen_fds()
        .map_err(ListenerError::Activation)?
        .len();
    match (passed, path) {
        (1, _) => from_standard_input(),
        (0, Some(path)) => bind(path),
        (0, None) => Err(ListenerError::NoSocket),
        (count, _) => Err(ListenerError::SocketCount(count)),
    }
}

/// With `StandardInput=socket` systemd passes the one socket as descriptor 0 too, which can be owned without `unsafe`,
/// unlike a descriptor that is known by its number alone.
fn from_standard_input() -> Result<UnixListener, ListenerError> {
    let input = io::stdin();
    let input = input.as_fd();
    let is_unix = sockopt::socket_domain(input).map(|domain| domain == AddressFamily::UNIX);
    let is_listening = sockopt::socket_acceptconn(input);
    match (is_unix, is_listening) {
        (Ok(true), Ok(true)) => {}
        (Err(error), _) | (_, Err(error)) => {
            return Err(ListenerError::StandardInput(error.into()));
        }
        _ => {
            return Err(ListenerError::StandardInput(
                io::ErrorKind::InvalidInput.into(),
            ));
        }
    }
    let owned = input
        .try_clone_to_owned()
        .map_err(ListenerError::StandardInput)?;
    Ok(UnixListener::from(owned))
}

fn bind(path: &Path) -> Result<UnixListener, ListenerError> {
    remove_stale(path)?;
    let failed = |source| ListenerError::Bind {
        path: path.to_owned(),
        source,
    };
    let listener = UnixListener::bind(path).map_err(failed)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(SOCKET_MODE)).map_err(failed)?;
    Ok(listener)
}

/// A broker that was killed leaves its socket behind; anything else of that name is not ours to remove.
fn remove_stale(path: &Path) -> Result<(), ListenerError> {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => {
            std::fs::remove_file(path).map_err(|source| ListenerError::Bind {
                path: path.to_owned(),
                source,
            })
        }
        Ok(_) => Err(ListenerError::NotASocket(path.to_owned())),
        Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_own_socket_is_open_to_its_group_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("quote.sock");
        drop(listen(Some(&path)).unwrap());
        // The one left behind is replaced.
        let _listener = listen(Some(&path)).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o660);
    }

    #[test]
    fn what_is_no_socket_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("quote.sock");
        std::fs::write(&path, "notes").unwrap();
        assert!(matches!(
            listen(Some(&path)),
            Err(ListenerError::NotASocket(_))
        ));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "notes");
        let nowhere = folder.path().join("nowhere/quote.sock");
        assert!(matches!(
            listen(Some(&nowhere)),
            Err(ListenerError::Bind { .. })
        ));
        assert!(matches!(listen(None), Err(ListenerError::NoSocket)));
    }
}
