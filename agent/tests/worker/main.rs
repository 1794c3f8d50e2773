//! A whole worker against a gateway that this test plays over the real channel: real TLS, real gate, the real executor
//! child. Only the quotes are worthless, and this gateway admits whatever it is told to.

#[cfg(test)]
mod binary;
#[cfg(test)]
mod gateway;
#[cfg(test)]
mod gpus;
#[cfg(test)]
mod life;
#[cfg(test)]
mod pool;
