//! Keys and values as they are, without versions and without transactions.
//!
//! Raw and transactional data do not share a cluster: a raw put into the lock family would be a lock
//! that nobody took, and regions are cut so that all versions of a key stay together, which a raw key
//! does not know about. Where data is split into regions, raw calls therefore have the family
//! `default` only; on a single engine they have all three, as the course's first project wants.

use bytes::Bytes;
use engine::{Cf, KeyRange, WriteBatch};
use proto::kvrpcpb::Context;

use crate::error::{Error, Result};
use crate::kv::Kv;
use crate::limits::AnswerSize;
use crate::mvcc::scanner::TURN_RECORDS;
use crate::storage::Changes;
use crate::turn::Turn;

/// A raw key with its value.
pub type RawPair = (Bytes, Bytes);

impl Kv {
    /// The value of a key. An empty one is a value too.
    pub async fn raw_get(&self, context: &Context, cf: &str, key: Bytes) -> Result<Option<Bytes>> {
        let cf = self.raw_family(cf)?;
        self.limits().check_key(&key)?;
        let reader = self.storage().snapshot(context).await?;
        reader.check(&key)?;
        reader.get(cf, &key)
    }

    /// Gives a key a value.
    pub async fn raw_put(
        &self,
        context: &Context,
        cf: &str,
        key: Bytes,
        value: Bytes,
    ) -> Result<()> {
        let cf = self.raw_family(cf)?;
        self.limits().check_key(&key)?;
        self.limits().check_value(&value)?;
        let mut batch = WriteBatch::new();
        batch.put(cf, key, value);
        self.storage().write(context, Changes::blind(batch)).await
    }

    /// Takes the value of a key away, whether or not it has one.
    pub async fn raw_delete(&self, context: &Context, cf: &str, key: Bytes) -> Result<()> {
        let cf = self.raw_family(cf)?;
        self.limits().check_key(&key)?;
        let mut batch = WriteBatch::new();
        batch.delete(cf, key);
        self.storage().write(context, Changes::blind(batch)).await
    }

    /// The first `limit` keys from `start` on; fewer only when the region ends.
    pub async fn raw_scan(
        &self,
        context: &Context,
        cf: &str,
        start: Bytes,
        limit: u32,
    ) -> Result<Vec<RawPair>> {
        let cf = self.raw_family(cf)?;
        self.limits().check_start(&start)?;
        let reader = self.storage().snapshot(context).await?;
        reader.check(&start)?;
        let mut pairs = Vec::new();
        if limit == 0 {
            return Ok(pairs);
        }
        let mut size = AnswerSize::new(self.limits());
        let mut cursor = reader.cursor(cf, KeyRange::from(&start))?;
        let mut is_valid = cursor.seek_to_first()?;
        while is_valid && (pairs.len() as u64) < u64::from(limit) {
            let (key, value) = cursor.entry();
            size.add(key, value)?;
            pairs.push((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)));
            if (pairs.len() as u64).is_multiple_of(TURN_RECORDS) {
                Turn::default().await;
            }
            is_valid = cursor.next()?;
        }
        Ok(pairs)
    }

    /// The family that a client means. No name is `default`.
    fn raw_family(&self, name: &str) -> Result<Cf> {
        let family = if name.is_empty() { Some(Cf::Default) } else { Cf::from_name(name) };
        let Some(cf) = family else {
            return Err(Error::invalid(format!("there is no column family {name:?}")));
        };
        if !self.storage().raw_families().contains(&cf) {
            let reason = format!("raw calls have no access to the column family {name:?} here");
            return Err(Error::invalid(reason));
        }
        Ok(cf)
    }
}
