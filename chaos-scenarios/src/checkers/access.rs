//! Access lists: 36.

use super::{Because, Checker, Verdict};
use crate::model::Model;
use broker_core::auth::Action;

pub(super) const ACL_ON_REPLAY: Checker = Checker {
    number: 36,
    name: "AclOnReplay",
    statement: "nobody receives what the access list denies, be it live, queued, retained or a will; nor what its sender may not publish",
    clause: "ours",
    check: |model| Verdict::first(denied(model)),
};

fn denied(model: &Model<'_>) -> Option<Because> {
    if model.scenario.acl.is_empty() {
        return None;
    }
    model.deliveries.iter().flatten().find_map(|delivery| {
        let topic = &delivery.publish.topic[..];
        let conn = &model.conns[&delivery.conn];
        if model.allowed(conn, Action::Subscribe, topic) == Some(false) {
            let what = format!("a message on '{topic}' was delivered to a client that may not receive it");
            return Some(Because::at(model, delivery.place, what).about(delivery.tag).after(conn.accepted()));
        }
        let message = model.published.get(&delivery.tag?)?;
        let denied = message
            .sent
            .iter()
            .all(|sending| model.allowed(&model.conns[&sending.conn], Action::Publish, topic) == Some(false));
        denied.then(|| {
            let what =
                format!("{} on '{topic}' was delivered, and its sender may not publish there", message.tag);
            Because::at(model, delivery.place, what).about(message.tag).after([message.first().place])
        })
    })
}
