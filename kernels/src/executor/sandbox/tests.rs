//! Each denied call, made by a thread that the filter holds. The filter under test answers with a number that no such call
//! answers by itself, so that a right which this process lacks is not taken for a denial.
#![expect(
    unsafe_code,
    reason = "system calls by number, which no library offers: all of them refused, or harmless"
)]

use super::*;

/// Of the STREAMS of System V, which Linux has not.
const TELLTALE: i32 = libc::ENOSTR;

/// Runs this in a thread that the filter holds, and no other.
fn confined<T: Send + 'static>(filter: BpfProgram, then: impl FnOnce() -> T + Send + 'static) -> T {
    let thread = std::thread::spawn(move || {
        seccompiler::apply_filter(&filter).unwrap();
        then()
    });
    thread.join().unwrap()
}

/// The number that a system call without useful arguments fails with.
fn failure(call: i64) -> Option<i32> {
    // SAFETY: the arguments name nothing: a call that is not refused fails for that, or does nothing.
    let returned = unsafe { libc::syscall(call, -1_i64, 0_i64, 0_i64, 0_i64, 0_i64, 0_i64) };
    let error = std::io::Error::last_os_error();
    (returned == -1).then(|| error.raw_os_error().unwrap())
}

#[test]
fn every_denied_call_is_denied() {
    let failures = confined(deny(errno(TELLTALE)).unwrap(), || {
        DENIED
            .iter()
            .map(|call| (*call, failure(*call)))
            .collect::<Vec<_>>()
    });
    assert_eq!(failures.len(), DENIED.len());
    for (call, failure) in failures {
        assert_eq!(failure, Some(TELLTALE), "call {call}");
    }
}

#[test]
fn without_the_filter_no_denied_call_answers_so() {
    // Those that would do something to this process or machine if they were made with these arguments are left out.
    for call in [
        libc::SYS_socket,
        libc::SYS_connect,
        libc::SYS_ptrace,
        libc::SYS_execve,
    ] {
        assert_ne!(failure(call), Some(TELLTALE));
    }
}

#[test]
fn a_process_cannot_be_started_and_a_thread_can() {
    let both = [fall_back().unwrap(), deny(errno(TELLTALE)).unwrap()];
    let [fall_back, deny] = both;
    let (process, thread) = confined(fall_back, move || {
        seccompiler::apply_filter(&deny).unwrap();
        let process = std::process::Command::new("/bin/true").status();
        let thread = std::thread::spawn(|| 7).join().unwrap();
        (process.unwrap_err().raw_os_error(), thread)
    });
    assert_eq!((process, thread), (Some(TELLTALE), 7));
}

/// What a call with these first arguments, and zeroes, fails with.
fn failure_of(call: i64, first: u32, second: u32) -> Option<i32> {
    // SAFETY: signal zero is none, and limits are neither read nor written where there is no place for them.
    let returned = unsafe { libc::syscall(call, first, second, 0_u64, 0_u64, 0_u64, 0_u64) };
    let error = std::io::Error::last_os_error();
    (returned == -1).then(|| error.raw_os_error().unwrap())
}

#[test]
fn other_processes_get_no_signal_and_no_limits_and_this_one_does() {
    let own = std::process::id();
    let (itself, other) = confined(deny(errno(TELLTALE)).unwrap(), move || {
        let parent = std::os::unix::process::parent_id();
        // SAFETY: the call takes nothing.
        let thread = u32::try_from(unsafe { libc::syscall(libc::SYS_gettid) }).unwrap();
        let calls = |process: u32| {
            [
                failure_of(libc::SYS_kill, process, 0),
                failure_of(libc::SYS_tgkill, process, thread),
                failure_of(libc::SYS_prlimit64, process, libc::RLIMIT_NOFILE),
            ]
        };
        (calls(own), calls(parent))
    });
    assert_eq!((itself, other), ([None; 3], [Some(TELLTALE); 3]));
}

#[test]
fn files_send_no_signals_and_type_nothing() {
    let (denied, allowed) = confined(deny(errno(TELLTALE)).unwrap(), || {
        let commands = DENIED_COMMANDS
            .iter()
            .flat_map(|(call, commands)| commands.iter().map(|command| (*call, *command)));
        // No file is open by this number.
        let denied: Vec<_> = commands
            .map(|(call, command)| failure_of(call, u32::MAX, u32::try_from(command).unwrap()))
            .collect();
        let flags = |flags: i32| {
            // SAFETY: no file is open by this number.
            let returned = unsafe { libc::fcntl(-1, libc::F_SETFL, flags) };
            let error = std::io::Error::last_os_error();
            (returned == -1).then(|| error.raw_os_error().unwrap())
        };
        let signals = flags(libc::O_ASYNC | libc::O_NONBLOCK);
        // The neighbour of a denied one, and flags that send nothing.
        let count_bytes = failure_of(libc::SYS_ioctl, u32::MAX, 0x541b);
        let allowed = [flags(libc::O_NONBLOCK), count_bytes];
        ([denied, vec![signals]].concat(), allowed)
    });
    assert_eq!(denied, [Some(TELLTALE); 9]);
    assert_eq!(allowed, [Some(libc::EBADF); 2]);
}

#[cfg(target_arch = "x86_64")]
#[test]
fn no_call_goes_by_its_second_number() {
    const X32_BIT: i64 = 0x4000_0000;
    let failures = confined(deny_x32(errno(TELLTALE)), || {
        [
            libc::SYS_getpid | X32_BIT,
            libc::SYS_socket | X32_BIT,
            libc::SYS_getpid,
        ]
        .map(failure)
    });
    assert_eq!(failures, [Some(TELLTALE), Some(TELLTALE), None]);
}

#[cfg(target_arch = "x86_64")]
#[test]
fn the_old_calls_for_a_process_are_denied() {
    let failures = confined(deny(errno(TELLTALE)).unwrap(), || old_forks().map(failure));
    assert_eq!(failures, [Some(TELLTALE); 2]);
}

#[test]
fn what_computing_needs_is_allowed() {
    let read = confined(deny(errno(TELLTALE)).unwrap(), || {
        let (mut one, mut other) = std::io::pipe().unwrap();
        std::io::Write::write_all(&mut other, b"through").unwrap();
        let mut bytes = [0; 7];
        std::io::Read::read_exact(&mut one, &mut bytes).unwrap();
        (bytes, std::fs::read("/proc/self/maps").unwrap().len())
    });
    assert_eq!(&read.0, b"through");
    assert!(read.1 > 0);
}

#[test]
fn no_privilege_is_gained_by_a_confined_thread() {
    let status = confined(deny(errno(TELLTALE)).unwrap(), || {
        std::fs::read_to_string("/proc/thread-self/status").unwrap()
    });
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    assert!(status.contains("Seccomp:\t2"), "{status}");
}
