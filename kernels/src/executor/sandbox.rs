//! What the child may not ask of the Linux kernel: a filter of system calls (seccomp) over all of its threads, and no
//! privilege gained by any program it might start (`PR_SET_NO_NEW_PRIVS`).
//!
//! It is a list of what is denied, not of what is allowed: libcuda's calls change with every driver, and one that is denied
//! by mistake would end a GPU's work. Denied is what would let a child that was taken over reach anything beyond its socket,
//! its arena and its device. Denied calls fail with `EPERM`, as they do for lack of a right, which libraries cope with.

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
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
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

/// Confines this process, all threads, for good.
pub(super) fn confine() -> Result<(), ConfineError> {
    let deny = deny(errno(libc::EPERM)).map_err(ConfineError::Filter)?;
    let fall_back = fall_back().map_err(ConfineError::Filter)?;
    for filter in [fall_back, deny] {
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
    filter(rules, errno)
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
