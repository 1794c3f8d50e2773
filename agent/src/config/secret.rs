//! The enrolment secret: shared with the gateway when the worker was created, proved on every connection, never sent.

use std::fmt;
use std::path::{Path, PathBuf};

use attestation::Binding;
use zeroize::Zeroizing;

/// Length of the secret. The file holds it in hexadecimal.
const SECRET_BYTES: usize = 32;

/// The secret's bytes: wiped when dropped, never printed.
#[derive(Clone)]
pub struct EnrolmentSecret(Zeroizing<[u8; SECRET_BYTES]>);

/// Why there is no secret. Nothing of the file's contents is shown.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("cannot read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{} does not hold {SECRET_BYTES} bytes in hexadecimal, as `cocoon-admin worker create` prints them", .0.display())]
    Shape(PathBuf),
}

impl EnrolmentSecret {
    /// Reads the secret's file.
    pub fn read(path: &Path) -> Result<Self, SecretError> {
        let text = std::fs::read_to_string(path)
            .map(Zeroizing::new)
            .map_err(|source| SecretError::Read {
                path: path.to_owned(),
                source,
            })?;
        let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
        hex::decode_to_slice(text.trim_ascii(), bytes.as_mut())
            .map_err(|_| SecretError::Shape(path.to_owned()))?;
        Ok(Self(bytes))
    }

    /// Proves the worker's enrolled identity on one connection.
    #[must_use]
    pub fn mac(&self, binding: &Binding) -> [u8; 32] {
        attestation::enrolment_mac(self.0.as_slice(), binding)
    }
}

impl fmt::Debug for EnrolmentSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("EnrolmentSecret(..)")
    }
}
