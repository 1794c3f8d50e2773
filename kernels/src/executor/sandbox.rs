//! What the child may not ask of the Linux kernel: a filter of system calls (seccomp) over all of its threads, and no
//! privilege gained by any program it might start (`PR_SET_NO_NEW_PRIVS`).
//!
//! It is a list of what is denied, not of what is allowed: libcuda's calls change with every driver, and one that is denied
//! by mistake would end a GPU's work. Denied is what a child that was taken over could go on with: the network, other
//! programs, signals to other processes, their memory and limits, memory shared with them by a key, and whatever changes
//! the machine. Denied calls fail with `EPERM`, as they do for lack of a right, which libraries cope with.
//!
//! Files are not denied: libcuda opens them as it goes on. What this process's user may open, a child that was taken over may
//! open, `/proc` included; that the agent, which has the same user, cannot be opened there is the agent's to see to
//! (`PR_SET_DUMPABLE`).

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

/// Why a child is not confined.
#[derive(Debug, thiserror::Error)]
pub enum ConfineError {
    #[error("the filter of system calls cannot be made")]
    Filter(#[source] seccompiler::BackendError),
    #[error("the kernel does not take the filter of system calls")]
    Apply(#[source] seccompiler::Error),
}

/// Denied whatever their arguments.
const DENIED: &[i64] = &[
    // The network: no new socket, so none to connect, bind or listen with. The agent's socket is there already.
    libc::SYS_socket,
    libc::SYS_socketpair,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    // io_uring opens and connects sockets without the calls above.
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    // Other programs.
    libc::SYS_execve,
    libc::SYS_execveat,
    // Other processes' memory, threads and files.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_process_mrelease,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_kcmp,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    // How other processes are scheduled, and where their memory lies. `sched_setaffinity` is a library's for its threads.
    libc::SYS_setpriority,
    libc::SYS_ioprio_set,
    libc::SYS_sched_setparam,
    libc::SYS_sched_setscheduler,
    libc::SYS_sched_setattr,
    libc::SYS_migrate_pages,
    // Signals that `OF_ITSELF` does not name: libraries send theirs by `kill` and `tgkill`.
    libc::SYS_tkill,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    // What processes share by a key (System V). CUDA needs none of it without its multi-process service.
    libc::SYS_shmget,
    libc::SYS_shmat,
    libc::SYS_shmctl,
    libc::SYS_shmdt,
    libc::SYS_semget,
    libc::SYS_semop,
    libc::SYS_semtimedop,
    libc::SYS_semctl,
    libc::SYS_msgget,
    libc::SYS_msgsnd,
    libc::SYS_msgrcv,
    libc::SYS_msgctl,
    // The kernel itself.
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_bpf,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    // Other views of the system: mounts, namespaces, roots, keys.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_open_by_handle_at,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
];

/// Denied where their second argument, the command, is one of these: they send a signal to another process when something
/// happens on a file, or type into the terminal that standard error may be.
const DENIED_COMMANDS: [(i64, &[u64]); 2] = [
    // `F_SETOWN`, `F_SETSIG` and `F_SETOWN_EX` of asm-generic/fcntl.h.
    (libc::SYS_fcntl, &[8, 10, 15]),
    // `FIOSETOWN` and `SIOCSPGRP` of asm-generic/sockios.h; `FIOASYNC`, `TIOCSTI` and `TIOCLINUX` of asm-generic/ioctls.h.
    (libc::SYS_ioctl, &[0x8901, 0x8902, 0x5452, 0x5412, 0x541c]),
];

/// Allowed where their first argument is this process, which kills itself when its agent ends.
const OF_ITSELF: [i64; 2] = [libc::SYS_kill, libc::SYS_tgkill];

/// Confines this process, all threads, for good.
pub(super) fn confine() -> Result<(), ConfineError> {
    let deny = deny(errno(libc::EPERM)).map_err(ConfineError::Filter)?;
    let fall_back = fall_back().map_err(ConfineError::Filter)?;
    let mut filters = vec![fall_back, deny];
    #[cfg(target_arch = "x86_64")]
    filters.push(deny_x32(errno(libc::EPERM)));
    for filter in filters {
        seccompiler::apply_filter_all_threads(&filter).map_err(ConfineError::Apply)?;
    }
    Ok(())
}

/// Everything denied fails with this number.
fn deny(errno: u32) -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules: BTreeMap<_, _> = DENIED.iter().map(|call| (*call, Vec::new())).collect();
    rules.insert(libc::SYS_clone, vec![new_process()?]);
    for call in old_forks() {
        rules.insert(call, Vec::new());
    }
    let own = u64::from(std::process::id());
    for call in OF_ITSELF {
        rules.insert(call, vec![first_is_none_of(&[own])?]);
    }
    for (call, commands) in DENIED_COMMANDS {
        let commands = commands.iter().map(|command| second_is(*command));
        rules.insert(call, commands.collect::<Result<_, _>>()?);
    }
    rules.entry(libc::SYS_fcntl).or_default().push(signals()?);
    // Zero is the caller as well, which the C library asks for its own limits with.
    rules.insert(libc::SYS_prlimit64, vec![first_is_none_of(&[0, own])?]);
    filter(rules, errno)
}

/// A call whose second argument is this.
fn second_is(command: u64) -> Result<SeccompRule, seccompiler::BackendError> {
    let is = SeccompCondition::new(1, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, command)?;
    SeccompRule::new(vec![is])
}

/// `fcntl(F_SETFL)` with `O_ASYNC`: a terminal then sends signals to the processes in its foreground.
fn signals() -> Result<SeccompRule, seccompiler::BackendError> {
    let set_flags = u64::try_from(libc::F_SETFL).unwrap_or(0);
    let signals = u64::try_from(libc::O_ASYNC).unwrap_or(0);
    let has_signals = SeccompCmpOp::MaskedEq(signals);
    SeccompRule::new(vec![
        SeccompCondition::new(1, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, set_flags)?,
        SeccompCondition::new(2, SeccompCmpArgLen::Dword, has_signals, signals)?,
    ])
}

/// A call whose first argument, a process, is another than these.
fn first_is_none_of(processes: &[u64]) -> Result<SeccompRule, seccompiler::BackendError> {
    let other = |process: &u64| {
        SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, *process)
    };
    SeccompRule::new(processes.iter().map(other).collect::<Result<_, _>>()?)
}

/// On x86-64 most calls have a second number, with this bit, for programs with short pointers (x32): the lists above do not
/// know it, so every such call is denied.
#[cfg(target_arch = "x86_64")]
fn deny_x32(errno: u32) -> BpfProgram {
    // linux/audit.h `AUDIT_ARCH_X86_64`, asm/unistd.h `__X32_SYSCALL_BIT`, and linux/seccomp.h.
    const X86_64: u32 = 0xc000_003e;
    const X32_BIT: u32 = 0x4000_0000;
    const ALLOW: u32 = 0x7fff_0000;
    const ERRNO: u32 = 0x0005_0000;
    const KILL_PROCESS: u32 = 0x8000_0000;
    // `struct seccomp_data`: the call's number, and behind it the architecture.
    const NUMBER_AT: u32 = 0;
    const ARCHITECTURE_AT: u32 = 4;
    // linux/filter.h: BPF_LD|BPF_W|BPF_ABS, BPF_JMP|BPF_JEQ|BPF_K, BPF_JMP|BPF_JSET|BPF_K, BPF_RET|BPF_K.
    let step = |code: u16, k: u32, jt: u8, jf: u8| seccompiler::sock_filter { code, jt, jf, k };
    let load = |at| step(0x20, at, 0, 0);
    let end = |with| step(0x06, with, 0, 0);
    vec![
        load(ARCHITECTURE_AT),
        step(0x15, X86_64, 1, 0),
        end(KILL_PROCESS),
        load(NUMBER_AT),
        step(0x45, X32_BIT, 0, 1),
        end(ERRNO | errno),
        end(ALLOW),
    ]
}

/// `clone3` hides its flags in memory, where no filter sees them. The C library goes back to `clone` where the kernel has no
/// `clone3`, so that threads start as before and processes do not.
fn fall_back() -> Result<BpfProgram, seccompiler::BackendError> {
    let rules = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    filter(rules, errno(libc::ENOSYS))
}

/// `clone` of anything but a thread.
fn new_process() -> Result<SeccompRule, seccompiler::BackendError> {
    let thread = u64::try_from(libc::CLONE_THREAD).unwrap_or(0);
    let no_thread = SeccompCondition::new(
        0,
        SeccompCmpArgLen::Dword,
        SeccompCmpOp::MaskedEq(thread),
        0,
    )?;
    SeccompRule::new(vec![no_thread])
}

/// Calls of their own on x86-64; elsewhere they are `clone`.
#[cfg(target_arch = "x86_64")]
const fn old_forks() -> [i64; 2] {
    [libc::SYS_fork, libc::SYS_vfork]
}

#[cfg(not(target_arch = "x86_64"))]
const fn old_forks() -> [i64; 0] {
    []
}

fn errno(number: i32) -> u32 {
    u32::try_from(number).unwrap_or(1)
}

fn filter(
    rules: BTreeMap<i64, Vec<SeccompRule>>,
    errno: u32,
) -> Result<BpfProgram, seccompiler::BackendError> {
    let architecture = TargetArch::try_from(std::env::consts::ARCH)?;
    let denied = SeccompAction::Errno(errno);
    SeccompFilter::new(rules, SeccompAction::Allow, denied, architecture)?.try_into()
}

#[cfg(test)]
mod tests;
