//! Who has published here lately, so that what a client said on an earlier connection does not come after what it says now.

use super::entry::Attachment;
use crate::base::time::{Duration, WallTime};
use bytestring::ByteString;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// The latest attachment of each client of another shard that has published here, for as long as an older one may still be heard of.
///
/// Two gateways may have publishes of one client on their way to a shard: of its connection, and of the one before. If the older came last, what the
/// client has said would change its order, or a retained message would come back that the client has replaced. \[MQTT-4.6.0-6, MQTT-3.3.1-5\]
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Authors {
    last: BTreeMap<ByteString, Author>,
    /// When to look at each of them again.
    watch: VecDeque<(WallTime, ByteString)>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Author {
    session: Attachment,
    at: WallTime,
}

impl Authors {
    /// Takes note of a publish. False if a later attachment of the client has published here.
    pub(crate) fn admit(
        &mut self,
        client_id: &ByteString,
        session: Attachment,
        now: WallTime,
        kept: Duration,
    ) -> bool {
        self.forget(now, kept);
        match self.last.get_mut(client_id) {
            Some(author) if session < author.session => false,
            Some(author) => {
                *author = Author { session, at: now };
                true
            }
            None => {
                self.last.insert(client_id.clone(), Author { session, at: now });
                self.watch.push_back((now + kept, client_id.clone()));
                true
            }
        }
    }

    fn forget(&mut self, now: WallTime, kept: Duration) {
        while let Some((_, client_id)) = self.watch.pop_front_if(|(due, _)| *due <= now) {
            let end = self.last[&client_id].at + kept;
            if end <= now {
                self.last.remove(&client_id);
            } else {
                self.watch.push_back((end, client_id));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Attachment, Authors, Duration, WallTime};
    use crate::base::ids::{Epoch, Incarnation};

    #[test]
    fn what_an_older_connection_or_session_says_does_not_come_after_what_a_later_one_said() {
        let attachment =
            |incarnation, epoch| Attachment { incarnation: Incarnation(incarnation), epoch: Epoch(epoch) };
        let (mut authors, kept) = (Authors::default(), Duration::from_secs(60));
        let at = |seconds| WallTime::default() + Duration::from_secs(seconds);
        let mut admit = |session, seconds| authors.admit(&"a".into(), session, at(seconds), kept);
        assert!(admit(attachment(7, 1), 0));
        assert!(admit(attachment(7, 3), 1));
        assert!(!admit(attachment(7, 2), 2), "an older connection");
        assert!(admit(attachment(8, 1), 50), "a later session");
        assert!(!admit(attachment(7, 4), 105), "an older session");
        assert!(admit(attachment(7, 4), 110), "nothing that old can be on its way");
        assert_eq!(authors.last.len(), 1);
        assert!(authors.admit(&"b".into(), attachment(9, 1), at(300), kept));
        assert_eq!((authors.last.len(), authors.watch.len()), (1, 1), "who is silent is forgotten");
    }
}
