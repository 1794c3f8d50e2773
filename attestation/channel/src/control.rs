//! The control stream: one long-lived `POST` whose two bodies carry frames, so that the gateway can ask although it
//! is the HTTP/2 server. What goes up is [`WorkerMessage`], what goes down is [`GatewayMessage`].

mod error;
mod message;
mod stream;

pub use error::ControlError;
pub use message::{GatewayMessage, Message, WorkerMessage};
pub(crate) use stream::open_control;
pub use stream::{ControlBody, ControlReceiver, ControlSender, accept_control};
