//! What an engine that stands before another one passes on.

/// Methods of [`Engine`](crate::engine::Engine) that go to the engine behind this one: `delegate_engine!(|wrapper| wrapper.inner; root fork)`
/// inside an `impl Engine`. What an engine leaves out and does not write itself has the trait's default, so name them all.
#[macro_export]
macro_rules! delegate_engine {
    (|$me:ident| $inner:expr; $($method:ident)+) => {
        $($crate::delegate_engine!(@ $method $me $inner);)+
    };
    (@ info $me:ident $inner:expr) => {
        fn info(&self) -> &$crate::engine::ModelInfo { let $me = self; $inner.info() }
    };
    (@ root $me:ident $inner:expr) => {
        fn root(&mut self) -> $crate::Result<$crate::engine::Branch> { let $me = self; $inner.root() }
    };
    (@ fork $me:ident $inner:expr) => {
        fn fork(&mut self, at: &$crate::engine::Branch) -> $crate::Result<$crate::engine::Branch> {
            let $me = self;
            $inner.fork(at)
        }
    };
    (@ len $me:ident $inner:expr) => {
        fn len(&self, branch: &$crate::engine::Branch) -> usize { let $me = self; $inner.len(branch) }
    };
    (@ truncate $me:ident $inner:expr) => {
        fn truncate(&mut self, branch: &mut $crate::engine::Branch, len: usize) -> $crate::Result<()> {
            let $me = self;
            $inner.truncate(branch, len)
        }
    };
    (@ release $me:ident $inner:expr) => {
        fn release(&mut self, branch: $crate::engine::Branch) { let $me = self; $inner.release(branch) }
    };
    (@ forward $me:ident $inner:expr) => {
        fn forward(&mut self, batch: &$crate::engine::Batch<'_>, rows: &mut $crate::engine::Rows) -> $crate::Result<()> {
            let $me = self;
            $inner.forward(batch, rows)
        }
    };
    (@ save $me:ident $inner:expr) => {
        fn save(&self, branches: &[&$crate::engine::Branch], out: &mut dyn ::std::io::Write) -> $crate::Result<()> {
            let $me = self;
            $inner.save(branches, out)
        }
    };
    (@ load $me:ident $inner:expr) => {
        fn load(&mut self, input: &mut dyn ::std::io::Read) -> $crate::Result<Vec<$crate::engine::Branch>> {
            let $me = self;
            $inner.load(input)
        }
    };
    (@ memory $me:ident $inner:expr) => {
        fn memory(&self) -> $crate::engine::MemoryReport { let $me = self; $inner.memory() }
    };
    (@ scratch_of $me:ident $inner:expr) => {
        fn scratch_of(&self, batch: &$crate::engine::Batch<'_>) -> u64 { let $me = self; $inner.scratch_of(batch) }
    };
    (@ trim $me:ident $inner:expr) => {
        fn trim(&mut self) { let $me = self; $inner.trim() }
    };
    (@ set_kv_limit $me:ident $inner:expr) => {
        fn set_kv_limit(&mut self, bytes: u64) { let $me = self; $inner.set_kv_limit(bytes) }
    };
    (@ set_adapters $me:ident $inner:expr) => {
        fn set_adapters(&mut self, adapters: &[(::std::sync::Arc<$crate::model::Adapter>, f32)]) -> $crate::Result<()> {
            let $me = self;
            $inner.set_adapters(adapters)
        }
    };
    (@ set_free_width $me:ident $inner:expr) => {
        fn set_free_width(&mut self, width: usize) { let $me = self; $inner.set_free_width(width) }
    };
}

/// An engine behind a pointer is an engine, so that a program can choose one when it runs.
impl<E: super::Engine + ?Sized> super::Engine for Box<E> {
    delegate_engine!(|pointer| (**pointer);
        info root fork len truncate release forward save load memory scratch_of trim set_kv_limit set_adapters set_free_width);
}

/// An engine that is lent is an engine.
impl<E: super::Engine + ?Sized> super::Engine for &mut E {
    delegate_engine!(|lent| (**lent);
        info root fork len truncate release forward save load memory scratch_of trim set_kv_limit set_adapters set_free_width);
}
