//! All that the driver knows, behind one lock, and how a call enters.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::c_int;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::code::{Code, SUCCESS};
use crate::context::Context;
use crate::event::Event;
use crate::graph::Graph;
use crate::launch::Function;
use crate::memory::Memory;
use crate::queue::Queue;

/// Functions of a C interface under their own names, each answering a code. A reference that may be null is a pointer to
/// C, and an address or a handle a number.
macro_rules! exports {
    ($(fn $name:ident($($argument:tt: $kind:ty),*) $body:block)*) => {
        $(
            #[unsafe(no_mangle)]
            extern "C" fn $name($($argument: $kind),*) -> std::ffi::c_int $body
        )*
    };
}
pub(crate) use exports;

/// What a host has of an object. The fake counts them up and reuses none, so that a destroyed one is known as such.
pub(crate) type Handle = usize;

/// Handles begin above the numbers that stand for default streams (1: legacy, 2: per thread).
const HANDLE_FIRST: Handle = 0x1000;

/// How often a caller who waits for a kernel that hangs looks again.
const POLL: Duration = Duration::from_millis(5);

/// Whether what was waited for is over.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    Done,
    Blocked,
}

pub(crate) struct Driver {
    pub(crate) contexts: Vec<Context>,
    pub(crate) memory: Memory,
    pub(crate) queues: BTreeMap<Handle, Queue>,
    pub(crate) events: BTreeMap<Handle, Event>,
    pub(crate) graphs: BTreeMap<Handle, Graph>,
    pub(crate) modules: BTreeSet<Handle>,
    pub(crate) functions: BTreeMap<Handle, Function>,
    /// Work is numbered in the order in which it was enqueued.
    pub(crate) ticket_last: u64,
    pub(crate) launches: u64,
    handle_last: Handle,
    /// The error that every later call answers: "the process must be terminated and relaunched" (cuda.h).
    lost: Option<Code>,
}

static DRIVER: Mutex<Driver> = Mutex::new(Driver {
    contexts: Vec::new(),
    memory: Memory::new(),
    queues: BTreeMap::new(),
    events: BTreeMap::new(),
    graphs: BTreeMap::new(),
    modules: BTreeSet::new(),
    functions: BTreeMap::new(),
    ticket_last: 0,
    launches: 0,
    handle_last: HANDLE_FIRST,
    lost: None,
});

thread_local! {
    /// The context that the calls of this thread are about.
    pub(crate) static CURRENT: Cell<Handle> = const { Cell::new(0) };
}

pub(crate) fn lock() -> MutexGuard<'static, Driver> {
    DRIVER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A call that answers nothing but whether it succeeded.
pub(crate) fn call(what: impl FnOnce(&mut Driver) -> Result<(), Code>) -> c_int {
    let mut driver = lock();
    number(driver.usable().and_then(|()| what(&mut driver)))
}

/// A call that fills in one value.
pub(crate) fn get<T>(
    out: Option<&mut T>,
    what: impl FnOnce(&mut Driver) -> Result<T, Code>,
) -> c_int {
    call(|driver| {
        let out = out.ok_or(Code::INVALID_VALUE)?;
        *out = what(driver)?;
        Ok(())
    })
}

/// A call that blocks until it is done; others may call meanwhile.
pub(crate) fn wait(mut what: impl FnMut(&mut Driver) -> Result<Progress, Code>) -> c_int {
    loop {
        let mut driver = lock();
        let progress = driver.usable().and_then(|()| what(&mut driver));
        // Work that failed meanwhile is this call's failure.
        match progress.and_then(|progress| driver.usable().map(|()| progress)) {
            Ok(Progress::Blocked) => drop(driver),
            Ok(Progress::Done) => return SUCCESS,
            Err(code) => return code.0,
        }
        std::thread::sleep(POLL);
    }
}

pub(crate) fn number(result: Result<(), Code>) -> c_int {
    result.map_or_else(|code| code.0, |()| SUCCESS)
}

impl Driver {
    /// Whether `cuInit` succeeded and no fault came after.
    pub(crate) fn usable(&self) -> Result<(), Code> {
        match self.lost {
            Some(code) => Err(code),
            None if self.contexts.is_empty() => Err(Code::NOT_INITIALIZED),
            None => Ok(()),
        }
    }

    /// A fault: what was enqueued never runs.
    pub(crate) fn lose(&mut self, code: Code) {
        self.lost.get_or_insert(code);
        for queue in self.queues.values_mut() {
            queue.work.clear();
        }
    }

    pub(crate) fn new_handle(&mut self) -> Handle {
        self.handle_last += 1;
        self.handle_last
    }

    /// The context of the calling thread.
    pub(crate) fn current(&self) -> Result<Handle, Code> {
        let current = CURRENT.get();
        let context = self.contexts.iter().find(|each| each.handle == current);
        let context = context.filter(|context| context.retained > 0);
        context.map(|_| current).ok_or(Code::INVALID_CONTEXT)
    }
}
