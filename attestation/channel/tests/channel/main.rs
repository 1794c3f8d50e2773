//! The channel from outside: TLS, the gate, HTTP/2 and the control stream over in-memory pipes, with evidence that stands
//! for a quote by carrying the report data it would be bound to.

#[cfg(test)]
mod by_hand;
#[cfg(test)]
mod carriage;
#[cfg(test)]
mod control;
#[cfg(test)]
mod frames;
#[cfg(test)]
mod pass;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod replay;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod world;
