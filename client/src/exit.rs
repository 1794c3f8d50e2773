//! How the programs end; the numbers are part of the command line's contract.

use std::process::{ExitCode, Termination};

/// For `--help`, the same text in both programs.
pub const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  error: bad usage, a file that cannot be read, a request that the gateway refused
  2  findings: a task that was named is a dead letter or expired, or something did not verify
  3  unreachable: no trusted connection to the gateway, or no answer in time
  4  denied: the gateway refused the access token, or its role does not permit this
  130  interrupted (Ctrl-C) while it waited; the task goes on";

/// The exit code of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Success,
    Error,
    Findings,
    Unreachable,
    Denied,
    /// 128 and the number of SIGINT, as shells count.
    Interrupted,
}

impl Exit {
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Error => 1,
            Self::Findings => 2,
            Self::Unreachable => 3,
            Self::Denied => 4,
            Self::Interrupted => 130,
        }
    }
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        ExitCode::from(self.code())
    }
}
