//! The refusals that many operations share, told by what they take: an access token, a role, a body. What is an operation's
//! own stands in its annotation.

use protocol::problem::{MEDIA_TYPE, Problem};
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{Content, Header, OpenApi, Ref, RefOr};

use super::SCHEME;
use crate::observe::is_transfer;

/// One kind of refusal.
struct Refusal {
    status: &'static str,
    /// In the document's components.
    name: &'static str,
    description: &'static str,
    /// Whether the answer says when to come back.
    is_passing: bool,
}

const fn refusal(status: &'static str, name: &'static str, description: &'static str) -> Refusal {
    Refusal {
        status,
        name,
        description,
        is_passing: false,
    }
}

const MALFORMED: Refusal = refusal(
    "400",
    "MalformedRequest",
    "The request cannot be read; `field` says where, if it is one field",
);
const TOKEN: Refusal = refusal(
    "401",
    "AccessTokenRefused",
    "The access token is missing, unknown or revoked",
);
const ROLE: Refusal = refusal(
    "403",
    "RoleInsufficient",
    "This needs an operator's access token",
);
const TOO_LARGE: Refusal = refusal(
    "413",
    "LimitExceeded",
    "A limit was exceeded; `limit` names it",
);
const MEDIA: Refusal = refusal(
    "415",
    "UnsupportedMediaType",
    "The body's `content-type` is another one",
);
const TOO_MANY: Refusal = Refusal {
    is_passing: true,
    ..refusal(
        "429",
        "TooManyRequests",
        "The user's share is used up; `limit` names which, `retry-after` says when to come back",
    )
};
const FAILED: Refusal = refusal(
    "500",
    "Internal",
    "The gateway failed; its log says why, by the request id",
);
const OVERLOADED: Refusal = Refusal {
    is_passing: true,
    ..refusal(
        "503",
        "Overloaded",
        "The gateway has too much to do, or is stopping",
    )
};
const LATE: Refusal = refusal(
    "504",
    "NotInTime",
    "There was no answer in time, and the request may have had its effect: look before you repeat it",
);
const ALL: [&Refusal; 9] = [
    &MALFORMED,
    &TOKEN,
    &ROLE,
    &TOO_LARGE,
    &MEDIA,
    &TOO_MANY,
    &FAILED,
    &OVERLOADED,
    &LATE,
];

/// Adds to every operation what it shares with others, and gives every problem the media type that it is sent with.
pub(super) fn complete(document: &mut OpenApi) {
    let components = document.components.get_or_insert_default();
    for refusal in ALL {
        let response = refusal.response();
        components
            .responses
            .insert(refusal.name.to_owned(), response.into());
    }
    for (path, item) in &mut document.paths.paths {
        let is_transfer = is_transfer(path);
        let is_head = item.head.is_some();
        if let Some(operation) = item.head.as_mut() {
            complete_operation(operation, is_transfer, is_head);
        }
        for operation in operations(item).into_iter().flatten() {
            complete_operation(operation, is_transfer, false);
        }
    }
}

/// Those whose answers have a body.
fn operations(item: &mut PathItem) -> [Option<&mut Operation>; 4] {
    [
        item.get.as_mut(),
        item.put.as_mut(),
        item.post.as_mut(),
        item.delete.as_mut(),
    ]
}

fn complete_operation(operation: &mut Operation, is_transfer: bool, is_head: bool) {
    for refusal in shared(operation, is_transfer) {
        let response: RefOr<Response> = if is_head {
            Response::new(refusal.description).into()
        } else {
            Ref::new(format!("#/components/responses/{}", refusal.name)).into()
        };
        let responses = &mut operation.responses.responses;
        responses
            .entry(refusal.status.to_owned())
            .or_insert(response);
    }
    for response in operation.responses.responses.values_mut() {
        if let RefOr::T(response) = response {
            name_problem(response);
            add_request_id(response);
        }
    }
}

/// Which of the shared refusals an operation can answer.
fn shared(operation: &Operation, is_transfer: bool) -> Vec<&'static Refusal> {
    let Some(role) = role(operation) else {
        return Vec::new();
    };
    let mut shared = vec![&TOKEN, &TOO_MANY, &FAILED, &OVERLOADED];
    if role == "operator" {
        shared.push(&ROLE);
    }
    if !is_transfer {
        shared.push(&LATE);
    }
    let has_parameters = operation
        .parameters
        .as_ref()
        .is_some_and(|some| !some.is_empty());
    if let Some(RefOr::T(body)) = &operation.request_body {
        shared.extend([&MALFORMED, &TOO_LARGE]);
        if body
            .content
            .keys()
            .any(|media_type| media_type.contains("json"))
        {
            shared.push(&MEDIA);
        }
    } else if has_parameters {
        shared.push(&MALFORMED);
    }
    shared
}

/// The role that the access token needs; none where no access token is needed.
fn role(operation: &Operation) -> Option<String> {
    let security = serde_json::to_value(&operation.security).ok()?;
    let role = security.get(0)?.get(SCHEME)?.get(0)?.as_str()?;
    Some(role.to_owned())
}

/// Annotations say `body = Problem`, which stands for another media type than a problem has.
fn name_problem(response: &mut Response) {
    let is_problem = |content: &RefOr<Content>| matches!(content, RefOr::T(Content { schema: Some(RefOr::Ref(of)), .. }) if of.ref_location.ends_with("/Problem"));
    if response
        .content
        .get("application/json")
        .is_some_and(is_problem)
        && let Some(content) = response.content.shift_remove("application/json")
    {
        response.content.insert(MEDIA_TYPE.to_owned(), content);
    }
}

fn add_request_id(response: &mut Response) {
    let header = text_header("The request's id in the gateway's log");
    response
        .headers
        .insert("x-request-id".to_owned(), header.into());
}

impl Refusal {
    fn response(&self) -> Response {
        let problem = <Problem as utoipa::ToSchema>::name();
        let content = Content::new(Some(Ref::from_schema_name(problem)));
        let response = ResponseBuilder::new()
            .description(self.description)
            .content(MEDIA_TYPE, content);
        let mut response = if self.is_passing {
            response.header(
                "retry-after",
                seconds_header("Come back after so many seconds"),
            )
        } else {
            response
        }
        .build();
        add_request_id(&mut response);
        response
    }
}

fn text_header(description: &str) -> Header {
    header(Type::String, description)
}

fn seconds_header(description: &str) -> Header {
    header(Type::Integer, description)
}

fn header(kind: Type, description: &str) -> Header {
    HeaderBuilder::new()
        .schema(Some(ObjectBuilder::new().schema_type(kind).build()))
        .description(Some(description))
        .build()
}
