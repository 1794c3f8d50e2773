//! How many connections may be before the gate, in all and from one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use metrics::Gauge;

use crate::limits::{GATES_IN_FLIGHT_MAX, GATES_PER_ADDRESS_MAX};

/// Who is before the gate.
#[derive(Debug, Clone)]
pub(super) struct Gates {
    in_flight: Arc<Mutex<InFlight>>,
    gauge: Gauge,
}

#[derive(Debug, Default)]
struct InFlight {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// A place before the gate, given back when dropped.
#[derive(Debug)]
pub(super) struct GatePass {
    gates: Gates,
    address: IpAddr,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GatesFull {
    InAll,
    FromAddress,
}

impl GatesFull {
    /// For the metrics.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::InAll => "gates-in-flight",
            Self::FromAddress => "gates-per-address",
        }
    }
}

impl Gates {
    pub(super) fn new(gauge: Gauge) -> Self {
        gauge.set(0.0);
        Self {
            in_flight: Arc::default(),
            gauge,
        }
    }

    pub(super) fn enter(&self, address: IpAddr) -> Result<GatePass, GatesFull> {
        let mut in_flight = self.lock();
        if in_flight.total >= GATES_IN_FLIGHT_MAX {
            return Err(GatesFull::InAll);
        }
        let here = in_flight.by_address.entry(address).or_default();
        if *here >= GATES_PER_ADDRESS_MAX {
            return Err(GatesFull::FromAddress);
        }
        *here = here.saturating_add(1);
        in_flight.total = in_flight.total.saturating_add(1);
        self.gauge.increment(1.0);
        Ok(GatePass {
            gates: self.clone(),
            address,
        })
    }

    fn leave(&self, address: IpAddr) {
        let mut in_flight = self.lock();
        in_flight.total = in_flight.total.saturating_sub(1);
        if let Some(here) = in_flight.by_address.get_mut(&address) {
            *here = here.saturating_sub(1);
            if *here == 0 {
                in_flight.by_address.remove(&address);
            }
        }
        self.gauge.decrement(1.0);
    }

    fn lock(&self) -> MutexGuard<'_, InFlight> {
        // Two counters that saturate: there is no half-made state to fear.
        self.in_flight
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for GatePass {
    fn drop(&mut self) {
        self.gates.leave(self.address);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn address(number: usize) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from(u32::try_from(number).unwrap()))
    }

    #[test]
    fn one_address_cannot_take_every_place() {
        let gates = Gates::new(Gauge::noop());
        let mut passes: Vec<_> = (0..GATES_PER_ADDRESS_MAX)
            .map(|_| gates.enter(address(1)).unwrap())
            .collect();
        assert_eq!(gates.enter(address(1)).unwrap_err(), GatesFull::FromAddress);
        assert!(gates.enter(address(2)).is_ok());
        passes.pop();
        assert!(gates.enter(address(1)).is_ok());
        passes.clear();
        assert!(gates.lock().by_address.is_empty());
    }

    #[test]
    fn there_are_so_many_places_in_all() {
        let gates = Gates::new(Gauge::noop());
        let passes: Vec<_> = (0..GATES_IN_FLIGHT_MAX)
            .map(|number| gates.enter(address(number)).unwrap())
            .collect();
        assert_eq!(gates.enter(address(0)).unwrap_err(), GatesFull::InAll);
        drop(passes);
        assert_eq!(gates.lock().total, 0);
    }
}
