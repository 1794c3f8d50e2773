//! What each errno of configfs-tsm means for an operator (`drivers/virt/coco` of Linux: the TSM core and tdx-guest).

use std::fmt;
use std::io;

use rustix::io::Errno;

/// What to do about an errno, in one sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remedy {
    sentence: &'static str,
    is_absent: bool,
}

impl Remedy {
    /// Whether the errno says that this machine has no source of quotes.
    #[must_use]
    pub fn is_absent(self) -> bool {
        self.is_absent
    }
}

impl fmt::Display for Remedy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.sentence)
    }
}

/// Looks an error up.
pub(super) fn remedy(error: &io::Error) -> Remedy {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    let known = errno.and_then(|errno| KNOWN.iter().find(|(candidate, ..)| *candidate == errno));
    known.map_or(
        Remedy {
            sentence: "look into the Linux kernel's log (`dmesg`) on this machine",
            is_absent: false,
        },
        |(_, is_absent, sentence)| Remedy {
            sentence,
            is_absent: *is_absent,
        },
    )
}

const ABSENT: bool = true;
const FAILED: bool = false;

const KNOWN: &[(Errno, bool, &str)] = &[
    (
        Errno::NOENT,
        ABSENT,
        "configfs-tsm is not here: mount configfs, load tdx_guest, use a kernel with CONFIG_TSM_REPORTS (6.7 or later), and run inside a TDX trust domain",
    ),
    (
        Errno::NXIO,
        ABSENT,
        "no provider of reports is registered: load the tdx_guest module, and run inside a TDX trust domain",
    ),
    (
        Errno::OPNOTSUPP,
        ABSENT,
        "this kernel's provider makes no quotes: run inside a TDX trust domain whose VMM offers GetQuote",
    ),
    (
        Errno::NOTTY,
        ABSENT,
        "the provider went away: load the tdx_guest module again",
    ),
    (
        Errno::ACCESS,
        FAILED,
        "permission is missing: run cocoon-quote as root, or as the owner of configfs-tsm",
    ),
    (
        Errno::PERM,
        FAILED,
        "permission is missing: run cocoon-quote as root, and let its unit write to configfs",
    ),
    (
        Errno::ROFS,
        FAILED,
        "configfs is read-only here: allow it in the unit (ReadWritePaths=/sys/kernel/config)",
    ),
    (
        Errno::BUSY,
        FAILED,
        "the kernel still waits for an earlier quote: ask again in a few seconds; if it stays so, look at the quote generation service on the VMM's side",
    ),
    (
        Errno::IO,
        FAILED,
        "the VMM or its quoting enclave reported an error: look at the quote generation service (QGS) on the VMM's side",
    ),
    (
        Errno::TIMEDOUT,
        FAILED,
        "the quote generation service (QGS) on the VMM's side does not answer: start it, and check that the VMM forwards to it",
    ),
    (Errno::INTR, FAILED, "the wait was interrupted: ask again"),
    (
        Errno::INVAL,
        FAILED,
        "the kernel refused the report data: use a kernel whose tdx_guest takes 64 bytes",
    ),
    (
        Errno::FBIG,
        FAILED,
        "the quote is larger than the kernel's buffer: use a newer Linux kernel",
    ),
    (
        Errno::NOMEM,
        FAILED,
        "the kernel has no memory for the request: free some",
    ),
    (
        Errno::EXIST,
        FAILED,
        "an entry of that name is there already: another cocoon-quote left it behind; remove it with rmdir",
    ),
    (
        Errno::NOSPC,
        FAILED,
        "the kernel takes no more entries: remove those that nobody uses with rmdir",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_errno_says_what_to_do() {
        let cases = [
            (Errno::NOENT, "CONFIG_TSM_REPORTS", true),
            (Errno::NXIO, "tdx_guest", true),
            (Errno::BUSY, "ask again", false),
            (Errno::IO, "QGS", false),
            (Errno::TIMEDOUT, "does not answer", false),
            (Errno::ACCESS, "permission", false),
        ];
        for (errno, words, is_absent) in cases {
            let remedy = remedy(&io::Error::from(errno));
            assert!(remedy.to_string().contains(words), "{errno:?}: {remedy}");
            assert_eq!(remedy.is_absent(), is_absent, "{errno:?}");
        }
    }

    #[test]
    fn an_unknown_errno_still_says_where_to_look() {
        assert!(
            remedy(&io::Error::from(Errno::XDEV))
                .to_string()
                .contains("dmesg")
        );
        assert!(
            remedy(&io::Error::other("odd"))
                .to_string()
                .contains("dmesg")
        );
    }

    #[test]
    fn no_errno_stands_twice() {
        for (index, (errno, ..)) in KNOWN.iter().enumerate() {
            assert!(
                KNOWN[..index].iter().all(|(other, ..)| other != errno),
                "{errno:?}"
            );
        }
    }
}
