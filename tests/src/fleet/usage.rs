//! What a process has used: CPU time and memory, from proc(5).

use std::time::Duration;

use anyhow::{Context, Result};

/// Memory of one process, in KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Resident, pages shared with other processes in full.
    pub resident_kib: u32,
    /// Resident, of each shared page its share.
    pub proportional_kib: u32,
}

/// User and system time of a process and its reaped children (fields 14 to 17 of `/proc/<pid>/stat`), and of its live
/// children.
pub fn cpu_time(process_id: u32) -> Result<Duration> {
    let stat = read(process_id, "stat")?;
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u64 = after_name
        .split_whitespace()
        .skip(11)
        .take(4)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    let own = Duration::from_millis(ticks * 1_000 / rustix::param::clock_ticks_per_second());
    let children = read(process_id, &format!("task/{process_id}/children"))?;
    // A child that ended meanwhile is in its parent's count the next time.
    let children = children
        .split_whitespace()
        .filter_map(|child| child.parse().ok())
        .filter_map(|child| cpu_time(child).ok());
    Ok(own + children.sum::<Duration>())
}

/// What a process holds now.
pub fn memory(process_id: u32) -> Result<Memory> {
    let rollup = read(process_id, "smaps_rollup")?;
    let of = |name: &str| kib(&rollup, name).with_context(|| format!("no `{name}` in {rollup}"));
    Ok(Memory {
        resident_kib: of("Rss:")?,
        proportional_kib: of("Pss:")?,
    })
}

fn kib(rollup: &str, name: &str) -> Option<u32> {
    let line = rollup.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim_end().parse().ok()
}

fn read(process_id: u32, file: &str) -> Result<String> {
    let path = format!("/proc/{process_id}/{file}");
    std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_used_memory_and_no_less_cpu_than_before() {
        let own = std::process::id();
        let before = cpu_time(own).unwrap();
        let memory = memory(own).unwrap();
        assert!(memory.resident_kib >= memory.proportional_kib && memory.proportional_kib > 0);
        assert!(cpu_time(own).unwrap() >= before);
    }

    #[test]
    fn a_line_is_read_by_its_whole_name() {
        let rollup = "7f00-7fff ---p [rollup]\nRss:   1234 kB\nPss_Dirty: 3 kB\nPss:  17 kB\n";
        assert_eq!(kib(rollup, "Rss:"), Some(1_234));
        assert_eq!(kib(rollup, "Pss:"), Some(17));
        assert_eq!(kib(rollup, "Uss:"), None);
    }

    #[test]
    fn a_process_that_is_gone_is_an_error() {
        assert!(cpu_time(u32::MAX).is_err() && memory(u32::MAX).is_err());
    }
}
