//! An engine behind a pointer is an engine, so that a program can choose one when it runs.

use std::io::{Read, Write};
use std::sync::Arc;

use super::{Batch, Branch, Engine, MemoryReport, ModelInfo, Rows, WidthCost};
use crate::error::Result;
use crate::model::Adapter;
use crate::observe::Interrupt;

impl<E: Engine + ?Sized> Engine for Box<E> {
    fn info(&self) -> &ModelInfo {
        (**self).info()
    }

    fn root(&mut self) -> Result<Branch> {
        (**self).root()
    }

    fn fork(&mut self, at: &Branch) -> Result<Branch> {
        (**self).fork(at)
    }

    fn len(&self, branch: &Branch) -> usize {
        (**self).len(branch)
    }

    fn truncate(&mut self, branch: &mut Branch, len: usize) -> Result<()> {
        (**self).truncate(branch, len)
    }

    fn release(&mut self, branch: Branch) {
        (**self).release(branch);
    }

    fn forward(&mut self, batch: &Batch<'_>, rows: &mut Rows) -> Result<()> {
        (**self).forward(batch, rows)
    }

    fn save(&self, branches: &[&Branch], out: &mut dyn Write) -> Result<()> {
        (**self).save(branches, out)
    }

    fn load(&mut self, input: &mut dyn Read) -> Result<Vec<Branch>> {
        (**self).load(input)
    }

    fn memory(&self) -> MemoryReport {
        (**self).memory()
    }

    fn set_kv_limit(&mut self, bytes: u64) {
        (**self).set_kv_limit(bytes);
    }

    fn set_adapters(&mut self, adapters: &[(Arc<Adapter>, f32)]) -> Result<()> {
        (**self).set_adapters(adapters)
    }

    fn set_free_width(&mut self, width: usize) {
        (**self).set_free_width(width);
    }

    fn measure_free_width(&mut self, interrupt: &Interrupt) -> Result<Vec<WidthCost>> {
        (**self).measure_free_width(interrupt)
    }
}
