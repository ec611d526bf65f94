//! A record as one line, for people.

use super::{Packet, Record, What};
use std::fmt;

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.at.as_nanos() / 1_000;
        write!(f, "{:>6}.{:03} ms  {}", micros / 1_000, micros % 1_000, self.what)
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Opened { client, conn, node } => write!(f, "{client} #{conn} opens to node {node}"),
            What::Closed { client, conn, by } => write!(f, "{client} #{conn} closed by {by:?}"),
            What::Sent { client, conn, packet } => write!(f, "{client} #{conn} -> {packet}"),
            What::Received { client, conn, packet } => write!(f, "{client} #{conn} <- {packet}"),
            What::ClientDown { client, keeps_session } => {
                write!(f, "{client} crashes{}", if *keeps_session { "" } else { " and forgets its session" })
            }
            What::ClientUp { client } => write!(f, "{client} runs again"),
            What::Undecodable { client, conn, why } => {
                write!(f, "{client} #{conn} cannot read the broker: {why}")
            }
            What::FaultStarted { fault } => write!(f, "fault {fault} begins"),
            What::FaultEnded { fault } => write!(f, "fault {fault} ends"),
            What::LogRead { node, records, torn_tail, unreadable_snapshots } => {
                write!(f, "node {node} reads {records} records of its log")?;
                if *torn_tail {
                    f.write_str(", discards a torn tail")?;
                }
                match unreadable_snapshots {
                    0 => Ok(()),
                    count => write!(f, ", cannot read {count} snapshots"),
                }
            }
            What::NodeUp { node } => write!(f, "node {node} is up"),
            What::NodeDown { node, why } => write!(f, "node {node} is down: {why:?}"),
            What::PeerUp { node, peer } => write!(f, "node {node} has a link to node {peer}"),
            What::PeerDown { node, peer } => write!(f, "node {node} lost its link to node {peer}"),
            What::NodeRefused { node, why } => write!(f, "node {node} refuses to start: {why}"),
            What::Healed => f.write_str("all faults have ended"),
            What::End { restless } if restless.is_empty() => f.write_str("the end; all have come to rest"),
            What::End { restless } => write!(f, "the end; without rest: {restless:?}"),
            What::Broker { node, event } => write!(f, "node {node}: {event:?}"),
        }
    }
}

impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Packet::Connect(connect) => {
                let clean = if connect.clean_start { "clean start" } else { "resume" };
                write!(
                    f,
                    "CONNECT {:?} {clean}, expiry {}s",
                    &connect.client_id[..],
                    connect.session_expiry_s
                )
            }
            Packet::ConnAck(connack) => {
                let present = if connack.session_present { "session present" } else { "no session" };
                write!(f, "CONNACK {:#04x} {present}", connack.reason)
            }
            Packet::Publish(publish) => {
                write!(f, "PUBLISH {:?} qos {} id {}", &publish.topic[..], publish.qos as u8, publish.id)?;
                match publish.tag() {
                    Some(tag) => write!(f, " {tag}")?,
                    None => write!(f, " {} bytes", publish.payload.len())?,
                }
                f.write_str(if publish.dup { " dup" } else { "" })?;
                f.write_str(if publish.retain { " retain" } else { "" })?;
                match &publish.subscription_ids[..] {
                    [] => Ok(()),
                    ids => write!(f, " subscriptions {ids:?}"),
                }
            }
            Packet::PubAck(ack) => write!(f, "PUBACK {} {:#04x}", ack.id, ack.reason),
            Packet::PubRec(ack) => write!(f, "PUBREC {} {:#04x}", ack.id, ack.reason),
            Packet::PubRel(ack) => write!(f, "PUBREL {} {:#04x}", ack.id, ack.reason),
            Packet::PubComp(ack) => write!(f, "PUBCOMP {} {:#04x}", ack.id, ack.reason),
            Packet::Subscribe(subscribe) => {
                write!(f, "SUBSCRIBE {}", subscribe.id)?;
                subscribe.filters.iter().try_for_each(|one| write!(f, " {}@{}", one.filter, one.qos as u8))
            }
            Packet::SubAck(granted) => write!(f, "SUBACK {} {:02x?}", granted.id, granted.reasons),
            Packet::Unsubscribe(unsubscribe) => {
                write!(f, "UNSUBSCRIBE {} {}", unsubscribe.id, unsubscribe.filters.join(" "))
            }
            Packet::UnsubAck(granted) => write!(f, "UNSUBACK {} {:02x?}", granted.id, granted.reasons),
            Packet::PingReq => f.write_str("PINGREQ"),
            Packet::PingResp => f.write_str("PINGRESP"),
            Packet::Disconnect(disconnect) => write!(f, "DISCONNECT {:#04x}", disconnect.reason),
            Packet::Auth { reason } => write!(f, "AUTH {reason:#04x}"),
            Packet::Garbage { bytes } => write!(f, "{bytes} bytes of garbage"),
        }
    }
}
