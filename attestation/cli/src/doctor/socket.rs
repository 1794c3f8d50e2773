//! The quote broker's socket: who may open it, and a quote over it.

use std::{
    io::{self, Read, Write},
    os::unix::{
        fs::{FileTypeExt, MetadataExt},
        net::UnixStream,
    },
    path::Path,
    time::Duration,
};

use attestation::{
    Preimage,
    broker::{
        Failure, RESPONSE_BYTES_MAX, WireError, decode_response, encode_request, frame_length,
    },
};

use super::examination::Examination;

const NAME: &str = "quote broker's socket";
/// The gate allows 30 s in all: a broker that takes longer is of no use to a worker.
const DEADLINE: Duration = Duration::from_secs(30);
/// Permission bits of everybody else.
const OTHERS: u32 = 0o007;

/// Why the broker gave no quote.
#[derive(Debug, thiserror::Error)]
pub(super) enum BrokerError {
    #[error("cannot speak with the broker")]
    Socket(#[source] io::Error),
    #[error("the broker speaks another protocol")]
    Wire(#[source] WireError),
    #[error("the broker gave no quote")]
    Refused(#[source] Failure),
}

/// Whether it is there, a socket, and closed to everybody else.
pub(super) fn examine(socket: &Path) -> Examination {
    let name = socket.display();
    let metadata = match socket.metadata() {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Examination::fail(
                NAME,
                format!("{name} is not there"),
                "systemctl enable --now cocoon-quote.socket, or name the socket with --socket",
            );
        }
        Err(error) => {
            return Examination::fail(
                NAME,
                format!("cannot look at {name}: {error}"),
                "run this as root, or as a user of the socket's group",
            );
        }
    };
    let mode = metadata.mode() & 0o777;
    let seen = format!(
        "{name}, mode {mode:o}, user {}, group {}",
        metadata.uid(),
        metadata.gid()
    );
    if !metadata.file_type().is_socket() {
        Examination::fail(
            NAME,
            format!("{name} is no socket"),
            "remove the file and restart cocoon-quote.socket",
        )
    } else if mode & OTHERS != 0 {
        Examination::fail(
            NAME,
            seen,
            "close it to other users: SocketMode=0660 in cocoon-quote.socket",
        )
    } else {
        Examination::pass(NAME, seen)
    }
}

/// Asks for one quote.
pub(super) fn quote(socket: &Path, preimage: &Preimage) -> Result<Vec<u8>, BrokerError> {
    let body = exchange(socket, preimage)?;
    decode_response(&body)
        .map_err(BrokerError::Wire)?
        .map_err(BrokerError::Refused)
}

fn exchange(socket: &Path, preimage: &Preimage) -> Result<Vec<u8>, BrokerError> {
    let mut stream = UnixStream::connect(socket).map_err(BrokerError::Socket)?;
    stream
        .set_read_timeout(Some(DEADLINE))
        .and_then(|()| stream.set_write_timeout(Some(DEADLINE)))
        .map_err(BrokerError::Socket)?;
    // A broker that denies this user answers without reading; its answer says more than the broken pipe does.
    let sent = stream.write_all(&encode_request(preimage));
    let mut header = [0; 4];
    stream
        .read_exact(&mut header)
        .map_err(BrokerError::Socket)?;
    sent.map_err(BrokerError::Socket)?;
    let length = frame_length(header, RESPONSE_BYTES_MAX).map_err(BrokerError::Wire)?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).map_err(BrokerError::Socket)?;
    Ok(body)
}
