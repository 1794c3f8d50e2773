//! `GET /v1/tasks/{id}/events`: a task's life as server-sent events (the format of the HTML standard, "Server-sent events").

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures_util::{Stream, stream};
use protocol::TaskId;
use protocol::api::TaskView;
use protocol::problem::Problem;
use utoipa::ToSchema;

use super::access::Client;
use super::tasks::view;
use crate::gateway::Gateway;
use crate::limits::{EVENTS_KEEP_ALIVE, EVENTS_MAX};
use crate::parts::PathPart;
use crate::problem::ApiProblem;
use crate::store::{TaskScope, TaskWatch};

/// Follow a task.
///
/// An event `task` with the task as JSON at once, and one each time that it went to another state; the stream ends when the
/// task has finished, after an hour, or when the gateway stops. Whoever connects again gets the task as it is then.
#[utoipa::path(
    get,
    path = "/v1/tasks/{id}/events",
    tag = "tasks",
    security(("access_token" = ["client"])),
    params(("id" = TaskId, Path, description = "The task's id")),
    responses(
        (status = 200, description = "Events", body = TaskEvent, content_type = "text/event-stream"),
        (status = 404, description = "There is no such task, or it is another user's", body = Problem),
    ),
)]
pub(super) async fn follow(
    State(gateway): State<Arc<Gateway>>,
    client: Client,
    PathPart(id): PathPart<TaskId>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiProblem> {
    // Watched before it is read, so that nothing in between is missed.
    let watch = gateway.store.watch_task(id);
    let task = view(&gateway, client.scope(), id).await?;
    let following = Following {
        watch,
        gateway,
        scope: client.scope(),
        id,
        ends_at: tokio::time::Instant::now()
            .checked_add(EVENTS_MAX)
            .unwrap_or_else(tokio::time::Instant::now),
        told: None,
        next: Some(task),
    };
    let events = stream::unfold(following, |mut following| async move {
        let event = following.event().await?;
        Some((Ok(event), following))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(EVENTS_KEEP_ALIVE)))
}

/// One event, for the description alone.
#[derive(ToSchema)]
#[expect(dead_code, reason = "its schema is what it is for")]
pub(super) struct TaskEvent {
    /// `task`.
    event: String,
    /// A `TaskView` in JSON.
    #[schema(content_media_type = "application/json")]
    data: String,
}

struct Following {
    watch: TaskWatch,
    gateway: Arc<Gateway>,
    scope: TaskScope,
    id: TaskId,
    /// Whoever follows on then shows that the access token is still good.
    ends_at: tokio::time::Instant,
    /// The latest that was told.
    told: Option<TaskView>,
    /// Read and not told yet.
    next: Option<TaskView>,
}

impl Following {
    /// The next thing to tell; nothing once all is told.
    async fn event(&mut self) -> Option<Event> {
        loop {
            if let Some(task) = self.next.take().filter(|task| self.is_news(task)) {
                let event = Event::default().event("task").json_data(&task).ok();
                self.told = Some(task);
                return event;
            }
            if self
                .told
                .as_ref()
                .is_some_and(|told| told.state.is_finished())
            {
                return None;
            }
            tokio::select! {
                () = self.watch.moved() => {}
                () = self.gateway.stopping.cancelled() => return None,
                () = tokio::time::sleep_until(self.ends_at) => return None,
            }
            // Before it is read: one that finished may have been returned to the queue since.
            self.watch = self.gateway.store.watch_task(self.id);
            self.next = Some(
                view(&self.gateway, self.scope.clone(), self.id)
                    .await
                    .ok()?,
            );
        }
    }

    /// Several changes may lie between two looks, and look like none.
    fn is_news(&self, task: &TaskView) -> bool {
        let told = self.told.as_ref();
        told.is_none_or(|told| (told.state, told.attempts) != (task.state, task.attempts))
    }
}
