//! Connections that read, lent to blocking threads one at a time.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::super::StoreError;
use super::connection::{Access, Connection};

/// A pool of fixed size.
#[derive(Debug)]
pub(super) struct Readers {
    idle: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
    count: u32,
    /// No read waits for a server.
    are_local: bool,
}

impl Readers {
    pub(super) fn new(connections: Vec<Connection>, are_local: bool) -> Self {
        let permits = Arc::new(Semaphore::new(connections.len()));
        Self {
            count: u32::try_from(connections.len()).unwrap_or(u32::MAX),
            idle: Arc::new(Mutex::new(connections)),
            permits,
            are_local,
        }
    }

    /// A connection for the calling thread, where one is idle and none waits for a server.
    pub(super) fn lend_here(&self) -> Option<Lent<'_>> {
        if !self.are_local {
            return None;
        }
        let permit = Arc::clone(&self.permits).try_acquire_owned().ok()?;
        Lent::take(&self.idle, permit)
    }

    /// Runs `reading` in one read transaction.
    pub(super) async fn read<T, F>(&self, reading: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.map_err(|_| StoreError::Closed)?;
        let idle = Arc::clone(&self.idle);
        let read = tokio::task::spawn_blocking(move || {
            let mut lent = Lent::take(&idle, permit).ok_or(StoreError::Closed)?;
            lent.read(reading)
        });
        // The runtime is stopping, or the reading panicked.
        read.await.map_err(|_| StoreError::Closed)?
    }

    /// Waits for the reads under way; later ones fail.
    pub(super) async fn close(&self) {
        if let Ok(permits) = self.permits.acquire_many(self.count).await {
            self.permits.close();
            permits.forget();
        }
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

/// A connection that returns to the pool even when its reading panics.
pub(super) struct Lent<'p> {
    connection: Option<Connection>,
    pool: &'p Mutex<Vec<Connection>>,
    // Freed last, since whoever gets it finds a connection.
    _permit: OwnedSemaphorePermit,
}

impl<'p> Lent<'p> {
    fn take(pool: &'p Mutex<Vec<Connection>>, permit: OwnedSemaphorePermit) -> Option<Self> {
        let connection = pool.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
        Some(Self {
            connection: Some(connection),
            pool,
            _permit: permit,
        })
    }

    pub(super) fn read<T>(
        &mut self,
        reading: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let connection = self.connection.as_mut().ok_or(StoreError::Closed)?;
        connection.begin(Access::Read)?;
        let outcome = reading(connection);
        match &outcome {
            Ok(_) => connection.commit()?,
            Err(_) => connection.roll_back(),
        }
        outcome
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            if std::thread::panicking() {
                connection.roll_back();
            }
            self.pool
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(connection);
        }
    }
}
