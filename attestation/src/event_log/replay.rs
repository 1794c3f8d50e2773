//! Replay: the registers that a log explains, from zero.

use std::fmt;

use super::{Event, Register};
use crate::{ErrorCode, Measurement, digest::sha384};

/// The registers that a log replays to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replay {
    /// Run-time measurement registers 0 to 3.
    pub rtmrs: [Measurement; 4],
}

impl Replay {
    /// Extends four registers of zeros by the digests of `events`, in their order.
    pub fn of<'log>(events: impl IntoIterator<Item = &'log Event>) -> Self {
        let mut rtmrs = [Measurement::ZERO; 4];
        for event in events.into_iter().filter(|event| event.extends()) {
            let register = Register::RTMRS
                .iter()
                .zip(&mut rtmrs)
                .find(|(register, _)| **register == event.register);
            if let Some((_, value)) = register {
                *value = Measurement(sha384(&[&value.0, &event.digest.0]));
            }
        }
        Self { rtmrs }
    }

    /// Holds the replayed registers against signed ones, such as [`crate::TdQuoteBody::rtmrs`].
    pub fn compare(&self, signed: &[Measurement; 4]) -> Result<(), RegisterMismatch> {
        let registers: Vec<Register> = Register::RTMRS
            .into_iter()
            .zip(self.rtmrs.iter().zip(signed))
            .filter(|(_, (replayed, signed))| replayed != signed)
            .map(|(register, _)| register)
            .collect();
        if registers.is_empty() {
            Ok(())
        } else {
            Err(RegisterMismatch { registers })
        }
    }
}

/// The log does not explain the signed registers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the event log does not replay to {}", Names(registers))]
pub struct RegisterMismatch {
    /// Which registers differ; never empty.
    pub registers: Vec<Register>,
}

impl RegisterMismatch {
    /// The refusal's code.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        ErrorCode::EventLogMismatch
    }
}

struct Names<'a>(&'a [Register]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.0.iter().map(|register| register.name()).collect();
        formatter.write_str(&names.join(", "))
    }
}
