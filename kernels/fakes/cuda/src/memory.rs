//! Device memory and pinned host memory: what there is, and whether an access lies in it.
#![expect(unsafe_code, reason = "mapping, guarding and filling memory")]

use std::collections::{BTreeMap, VecDeque};
use std::ptr::{null_mut, with_exposed_provenance_mut};

use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};

use crate::code::Code;
use crate::config;
use crate::driver::Handle;

const PAGE_BYTES: usize = 4096;

/// What memory holds before anything was written: NaN as any kind of floating point.
const POISON: u8 = 0xff;

/// Of a larger allocation only the beginning is poisoned, since poisoned pages take real memory.
const POISONED_BYTES_MAX: usize = 48 << 20;

/// So many freed allocations keep their addresses, where every access faults; more would use up the kernel's mappings.
const QUARANTINED_MAX: usize = 256;

pub(crate) struct Memory {
    device: BTreeMap<usize, Allocation>,
    host: BTreeMap<usize, HostRange>,
    quarantine: VecDeque<Mapping>,
}

struct Allocation {
    bytes: usize,
    context: Handle,
    mapping: Mapping,
    /// A stream was told to free it; work before that may still use it.
    is_given_up: bool,
}

/// Page-locked host memory.
struct HostRange {
    bytes: usize,
    /// Nothing if it is the host's own and only registered.
    mapping: Option<Mapping>,
}

impl Memory {
    pub(crate) const fn new() -> Self {
        Self {
            device: BTreeMap::new(),
            host: BTreeMap::new(),
            quarantine: VecDeque::new(),
        }
    }

    pub(crate) fn free_bytes(&self, context: Handle) -> usize {
        let own = self.device.values().filter(|each| each.context == context);
        let used: usize = own.map(|each| each.bytes).sum();
        config::memory_bytes().saturating_sub(used)
    }

    pub(crate) fn allocate(&mut self, context: Handle, bytes: usize) -> Result<u64, Code> {
        if bytes == 0 {
            return Err(Code::INVALID_VALUE);
        }
        if bytes > self.free_bytes(context) || bytes > config::allocation_bytes_max() {
            return Err(Code::OUT_OF_MEMORY);
        }
        let mapping = Mapping::new(bytes)?;
        let address = mapping.address();
        fill(address, POISON, bytes.min(POISONED_BYTES_MAX));
        let allocation = Allocation {
            bytes,
            context,
            mapping,
            is_given_up: false,
        };
        self.device.insert(address, allocation);
        u64::try_from(address).map_err(|_| Code::UNKNOWN)
    }

    /// Takes the address of an allocation back: it may be given to no further call.
    pub(crate) fn give_up(&mut self, address: usize) -> Result<(), Code> {
        let allocation = self
            .device
            .get_mut(&address)
            .filter(|each| !each.is_given_up);
        allocation.ok_or(Code::INVALID_VALUE)?.is_given_up = true;
        Ok(())
    }

    /// Frees what was given up.
    pub(crate) fn free(&mut self, address: usize) {
        if let Some(allocation) = self.device.remove(&address) {
            allocation.mapping.forbid();
            self.quarantine.push_back(allocation.mapping);
            if self.quarantine.len() > QUARANTINED_MAX {
                self.quarantine.pop_front();
            }
        }
    }

    /// Frees everything of a context.
    pub(crate) fn forget(&mut self, context: Handle) {
        let all = self
            .device
            .iter()
            .filter(|(_, each)| each.context == context);
        for address in all.map(|(address, _)| *address).collect::<Vec<_>>() {
            self.free(address);
        }
    }

    /// Whether these bytes lie in one allocation, for a call that is to use them.
    pub(crate) fn names(&self, address: usize, bytes: usize) -> Result<(), Code> {
        let found = self
            .allocation(address, bytes)
            .filter(|each| !each.is_given_up);
        found.map(|_| ()).ok_or(Code::INVALID_VALUE)
    }

    /// Whether these bytes lie in one allocation, for work that uses them.
    pub(crate) fn holds(&self, address: usize, bytes: usize) -> Result<(), Code> {
        let found = self.allocation(address, bytes);
        found.map(|_| ()).ok_or(Code::ILLEGAL_ADDRESS)
    }

    /// Fills device memory with what nothing should read.
    pub(crate) fn scribble(&self, address: usize, bytes: usize) -> Result<(), Code> {
        if bytes > 0 {
            self.holds(address, bytes)?;
            fill(address, POISON, bytes);
        }
        Ok(())
    }

    fn allocation(&self, address: usize, bytes: usize) -> Option<&Allocation> {
        let (start, allocation) = self.device.range(..=address).next_back()?;
        let end = start + allocation.bytes;
        (address.checked_add(bytes)? <= end).then_some(allocation)
    }

    /// Page-locked memory of the fake's own.
    pub(crate) fn allocate_host(&mut self, bytes: usize) -> Result<usize, Code> {
        let mapping = Some(bytes).filter(|bytes| *bytes > 0).map(Mapping::new);
        let mapping = mapping.ok_or(Code::INVALID_VALUE)??;
        let address = mapping.address();
        let mapping = Some(mapping);
        self.host.insert(address, HostRange { bytes, mapping });
        Ok(address)
    }

    pub(crate) fn free_host(&mut self, address: usize) -> Result<(), Code> {
        self.remove_host(address, |range| range.mapping.is_some())
            .ok_or(Code::INVALID_VALUE)
    }

    pub(crate) fn register(&mut self, address: usize, bytes: usize) -> Result<(), Code> {
        let end = address
            .checked_add(bytes)
            .filter(|end| *end > address && address > 0);
        let end = end.ok_or(Code::INVALID_VALUE)?;
        let before = self.host.range(..end).next_back();
        if before.is_some_and(|(start, range)| start + range.bytes > address) {
            return Err(Code::HOST_MEMORY_ALREADY_REGISTERED);
        }
        let mapping = None;
        self.host.insert(address, HostRange { bytes, mapping });
        Ok(())
    }

    pub(crate) fn unregister(&mut self, address: usize) -> Result<(), Code> {
        let removed = self.remove_host(address, |range| range.mapping.is_none());
        removed.ok_or(Code::HOST_MEMORY_NOT_REGISTERED)
    }

    fn remove_host(&mut self, address: usize, is_meant: fn(&HostRange) -> bool) -> Option<()> {
        self.host.get(&address).filter(|range| is_meant(range))?;
        self.host.remove(&address).map(drop)
    }

    /// Whether host memory is page-locked, so that copies of it run beside the host.
    pub(crate) fn is_pinned(&self, address: usize, bytes: usize) -> bool {
        let before = self.host.range(..=address).next_back();
        before.is_some_and(|(start, range)| address.saturating_add(bytes) <= start + range.bytes)
    }
}

/// Copies between addresses that may overlap.
pub(crate) fn copy(to: usize, from: usize, bytes: usize) {
    let (from, to) = (
        with_exposed_provenance_mut::<u8>(from),
        with_exposed_provenance_mut::<u8>(to),
    );
    // SAFETY: of the device's side the caller has seen that it lies in an allocation; the host's side is the promise of
    // whoever asked for the copy.
    unsafe { std::ptr::copy(from, to, bytes) };
}

/// Fills device memory.
pub(crate) fn fill(address: usize, value: u8, bytes: usize) {
    // SAFETY: the caller has seen that it lies in an allocation.
    unsafe { with_exposed_provenance_mut::<u8>(address).write_bytes(value, bytes) };
}

/// Pages between two that nobody may touch.
struct Mapping {
    start: usize,
    bytes: usize,
}

impl Mapping {
    fn new(bytes: usize) -> Result<Self, Code> {
        let pages = bytes.checked_next_multiple_of(PAGE_BYTES);
        let bytes = pages.and_then(|pages| pages.checked_add(2 * PAGE_BYTES));
        let bytes = bytes.ok_or(Code::OUT_OF_MEMORY)?;
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: a new mapping where the kernel likes it touches no other memory.
        let mapped = unsafe { mmap_anonymous(null_mut(), bytes, ProtFlags::empty(), flags) };
        let start = mapped.map_err(|_| Code::OUT_OF_MEMORY)?.expose_provenance();
        let mapping = Self { start, bytes };
        mapping.protect(MprotectFlags::READ | MprotectFlags::WRITE);
        Ok(mapping)
    }

    fn address(&self) -> usize {
        self.start + PAGE_BYTES
    }

    /// From now on every access faults.
    fn forbid(&self) {
        self.protect(MprotectFlags::empty());
    }

    fn protect(&self, how: MprotectFlags) {
        let inner = with_exposed_provenance_mut(self.address());
        // SAFETY: pages of this mapping, whose users are work of the device under the driver's lock. A failure leaves them
        // as they were, in which case the next access faults, or an access too late does not.
        let _ = unsafe { mprotect(inner, self.bytes - 2 * PAGE_BYTES, how) };
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: this mapping, which nothing names any more.
        let _ = unsafe { munmap(with_exposed_provenance_mut(self.start), self.bytes) };
    }
}
