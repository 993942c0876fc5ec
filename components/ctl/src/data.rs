//! Keys: raw ones, and those of transactions.

use bytes::Bytes;
use client::{Snapshot, Timestamp};

use crate::args::Data;
use crate::error::CtlError;
use crate::output::{Cell, Output, Table};
use crate::{Form, Result, Session};

/// Raw calls, each of which stands alone.
pub(crate) async fn raw(session: &Session, wish: &Data) -> Result<Output> {
    let (raw, form) = (session.client.raw(), session.form);
    match wish {
        Data::Get { at: Some(_), .. } | Data::Scan { at: Some(_), .. } => {
            Err(CtlError::misused("raw keys have no past; --at is for `txn`"))
        }
        Data::Get { key, at: None } => {
            let key = form.read(key)?;
            let value = raw.get(key.clone()).await?;
            one(form, &key, value)
        }
        Data::Put { key, value } => {
            raw.put(form.read(key)?, form.read(value)?).await?;
            Ok(Output::Record(vec![("written", Cell::Key(key.clone()))]))
        }
        Data::Delete { key } => {
            raw.delete(form.read(key)?).await?;
            Ok(Output::Record(vec![("deleted", Cell::Key(key.clone()))]))
        }
        Data::Scan { start, end, limit, at: None } => {
            let pairs = raw.scan(form.read(start)?, form.read(end)?, *limit).await?;
            Ok(many(form, &pairs))
        }
    }
}

/// Transactions of one read or one write.
pub(crate) async fn txn(session: &Session, wish: &Data) -> Result<Output> {
    let form = session.form;
    match wish {
        Data::Get { key, at } => {
            let key = form.read(key)?;
            let value = snapshot(session, *at).await?.get(key.clone()).await?;
            one(form, &key, value)
        }
        Data::Put { key, value } => {
            let mut txn = session.client.begin().await?;
            txn.put(form.read(key)?, form.read(value)?)?;
            let done = vec![("written", Cell::Key(key.clone()))];
            commit(txn, done).await
        }
        Data::Delete { key } => {
            let mut txn = session.client.begin().await?;
            txn.delete(form.read(key)?)?;
            let done = vec![("deleted", Cell::Key(key.clone()))];
            commit(txn, done).await
        }
        Data::Scan { start, end, limit, at } => {
            let snapshot = snapshot(session, *at).await?;
            let pairs = snapshot.scan(form.read(start)?, form.read(end)?, *limit).await?;
            Ok(many(form, &pairs))
        }
    }
}

async fn snapshot(session: &Session, at: Option<u64>) -> Result<Snapshot> {
    let at = match at {
        Some(at) => Timestamp::new(at),
        None => session.client.scheduler().timestamp().await?,
    };
    Ok(session.client.snapshot(at))
}

async fn commit(txn: client::Transaction, mut done: Vec<(&'static str, Cell)>) -> Result<Output> {
    let committed = txn.commit().await?;
    done.push(("at", Cell::known(committed.at().map_or(0, Timestamp::get))));
    // Whoever types the next command must not meet what this one has left to tidy.
    committed.settled().await;
    Ok(Output::Record(done))
}

fn one(form: Form, key: &[u8], value: Option<Bytes>) -> Result<Output> {
    let shown = form.write(key);
    let Some(value) = value else {
        return Err(CtlError::absent(format!("there is no key {shown}")));
    };
    Ok(Output::Record(vec![("key", Cell::Key(shown)), ("value", Cell::Key(form.write(&value)))]))
}

fn many(form: Form, pairs: &[(Bytes, Bytes)]) -> Output {
    let cells = pairs
        .iter()
        .map(|(key, value)| vec![Cell::Key(form.write(key)), Cell::Key(form.write(value))]);
    Output::Table(Table { columns: &["key", "value"], rows: cells.collect() })
}
