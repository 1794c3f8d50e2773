//! Connections that read, lent to blocking threads one at a time.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

use super::super::StoreError;
use super::connection::{Access, Connection};

/// A pool of fixed size.
#[derive(Debug)]
pub(super) struct Readers {
    idle: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
    count: u32,
}

impl Readers {
    pub(super) fn new(connections: Vec<Connection>) -> Self {
        let permits = Arc::new(Semaphore::new(connections.len()));
        Self {
            count: u32::try_from(connections.len()).unwrap_or(u32::MAX),
            idle: Arc::new(Mutex::new(connections)),
            permits,
        }
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
            let mut lent = Lent::take(&idle).ok_or(StoreError::Closed)?;
            let outcome = lent.read(reading);
            drop(lent);
            drop(permit);
            outcome
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
struct Lent<'p> {
    connection: Option<Connection>,
    pool: &'p Mutex<Vec<Connection>>,
}

impl<'p> Lent<'p> {
    fn take(pool: &'p Mutex<Vec<Connection>>) -> Option<Self> {
        let connection = pool.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
        Some(Self {
            connection: Some(connection),
            pool,
        })
    }

    fn read<T>(
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
