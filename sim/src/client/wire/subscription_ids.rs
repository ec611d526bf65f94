//! The subscription identifiers of a 5.0 PUBLISH, apart from the rest of it.

use bytes::{Buf, BufMut};

/// `frame` (a whole PUBLISH) without its subscription identifiers, and the identifiers in order; `None` if its lengths
/// do not add up. \[MQTT-3.3.2.3\]
pub(super) fn take_out(frame: &[u8]) -> Option<(Vec<u8>, Vec<u32>)> {
    let mut rest = frame;
    let first = take(&mut rest, 1)?[0];
    variable(&mut rest)?;
    let mut head = Vec::new();
    let topic = rest;
    skip_lengthed(&mut rest)?;
    if first & 0b0110 != 0 {
        take(&mut rest, 2)?;
    }
    head.put_slice(&topic[..topic.len() - rest.len()]);
    let properties_len = usize::try_from(variable(&mut rest)?).ok()?;
    let mut properties = take(&mut rest, properties_len)?;
    let (mut kept, mut ids) = (Vec::new(), Vec::new());
    while properties.has_remaining() {
        let start = properties;
        match take(&mut properties, 1)?[0] {
            0x0b => {
                ids.push(variable(&mut properties)?);
                continue;
            }
            0x01 => take(&mut properties, 1).map(drop)?,
            0x23 => take(&mut properties, 2).map(drop)?,
            0x02 => take(&mut properties, 4).map(drop)?,
            0x26 => {
                skip_lengthed(&mut properties)?;
                skip_lengthed(&mut properties)?;
            }
            0x03 | 0x08 | 0x09 => skip_lengthed(&mut properties)?,
            _ => return None,
        }
        kept.put_slice(&start[..start.len() - properties.len()]);
    }
    put_variable(&mut head, kept.len())?;
    head.extend(kept);
    head.put_slice(rest);
    let mut out = vec![first];
    put_variable(&mut out, head.len())?;
    out.extend(head);
    Some((out, ids))
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(len)?;
    *rest = left;
    Some(taken)
}

fn skip_lengthed(rest: &mut &[u8]) -> Option<()> {
    let len = usize::from(take(rest, 2)?.get_u16());
    take(rest, len).map(drop)
}

fn variable(rest: &mut &[u8]) -> Option<u32> {
    let mut value = 0_u32;
    for place in 0..4 {
        let byte = take(rest, 1)?[0];
        value |= u32::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn put_variable(out: &mut Vec<u8>, value: usize) -> Option<()> {
    let mut value = u32::try_from(value).ok().filter(|value| *value < 1 << 28)?;
    while value >= 0x80 {
        out.put_u8((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
    Some(())
}
