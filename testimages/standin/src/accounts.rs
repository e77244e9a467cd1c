//! The accounts of an organization: AssumeRole of STS (API 2011-06-15) and ListAccounts of AWS Organizations (API
//! 2016-11-28).

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::Account;
use crate::ec2::Query;
use crate::refusal::{Escaped, REQUEST_ID};
use crate::service::Service;

/// What the access key of somebody who has assumed a role begins with; the account follows.
const ASSUMED: &str = "ASIA";
/// Accounts of one page.
const PAGE: usize = 3;

/// The account that an access key is of: the one that its role is in, else none by name.
pub(crate) fn of_key(access_key: &str) -> &str {
    access_key.strip_prefix(ASSUMED).unwrap_or_default()
}

/// `POST /` with `Action=AssumeRole`.
pub(crate) fn assume_role(service: &Service, body: &[u8]) -> Response {
    let query = Query::parse(body);
    let arn = query.get("RoleArn").unwrap_or_default();
    let is_role = |account: &&Account| {
        let role = account.role.as_deref();
        role.is_some_and(|role| arn == format!("arn:aws:iam::{}:role/{role}", account.id))
    };
    let xml = |status: StatusCode, body: String| {
        (status, [(header::CONTENT_TYPE, "text/xml")], body).into_response()
    };
    let Some(account) = service.accounts.iter().find(is_role) else {
        let body = format!(
            "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
             <Code>AccessDenied</Code><Message>User is not authorized to perform: sts:AssumeRole on resource: {}</Message>\
             </Error><RequestId>{REQUEST_ID}</RequestId></ErrorResponse>",
            Escaped(arn)
        );
        return xml(StatusCode::FORBIDDEN, body);
    };
    let (id, session) = (&account.id, Escaped(query.get("RoleSessionName").unwrap_or_default()));
    let body = format!(
        "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult><AssumedRoleUser>\
         <AssumedRoleId>AROA{id}:{session}</AssumedRoleId><Arn>{}</Arn></AssumedRoleUser><Credentials>\
         <AccessKeyId>{ASSUMED}{id}</AccessKeyId><SecretAccessKey>secret</SecretAccessKey><SessionToken>token</SessionToken>\
         <Expiration>2999-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult><ResponseMetadata>\
         <RequestId>{REQUEST_ID}</RequestId></ResponseMetadata></AssumeRoleResponse>",
        Escaped(arn)
    );
    xml(StatusCode::OK, body)
}

/// `POST /` with the target `AWSOrganizationsV20161128.ListAccounts`.
pub(crate) fn list(service: &Service, body: &[u8]) -> Response {
    let answer = |status: StatusCode, body: Value| {
        (status, [(header::CONTENT_TYPE, "application/x-amz-json-1.1")], body.to_string()).into_response()
    };
    if service.accounts.is_empty() {
        let body = json!({
            "__type": "AWSOrganizationsNotInUseException",
            "Message": "Your account is not a member of an organization.",
        });
        return answer(StatusCode::BAD_REQUEST, body);
    }
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let start = body["NextToken"].as_str().and_then(|token| token.parse().ok()).unwrap_or(0_usize);
    let account = |account: &Account| {
        let state = if account.closed { "CLOSED" } else { "ACTIVE" };
        json!({
            "Arn": format!("arn:aws:organizations::123456789012:account/o-standin/{}", account.id),
            "Email": "somebody@example.com",
            "Id": account.id,
            "JoinedMethod": "CREATED",
            "JoinedTimestamp": 1_481_835_795.536,
            "Name": account.name,
            "State": state,
        })
    };
    let page: Vec<Value> = service.accounts.iter().skip(start).take(PAGE).map(account).collect();
    let next = (service.accounts.len() > start + PAGE).then(|| (start + PAGE).to_string());
    answer(StatusCode::OK, json!({ "Accounts": page, "NextToken": next }))
}
