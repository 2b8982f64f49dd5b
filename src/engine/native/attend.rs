//! Attention's share of a forward pass: new keys and values into their pages, plans of who sees what, buffers.

use crate::engine::native::forward::Pass;
use crate::engine::native::scratch::Demand;
use crate::engine::plan::Step;
use crate::kernels::{self, Attention, AttentionPlan, AttentionShape, KvSlot, Query};
use crate::model::Config;

/// The plans of the current tokens, and buffers that are kept between passes.
#[derive(Default)]
pub(super) struct AttendState {
    /// One for each window that layers have.
    plans: Vec<(Option<usize>, AttentionPlan)>,
    slots: Vec<KvSlot>,
    scratch: Vec<f32>,
}

impl AttendState {
    pub fn bytes(&self) -> usize {
        let plans: usize = self.plans.iter().map(|(_, plan)| plan.bytes()).sum();
        plans + self.slots.capacity() * size_of::<KvSlot>() + self.scratch.capacity() * size_of::<f32>()
    }
}

/// The most that slots and plans for so many windows take.
pub(super) fn bytes(demand: Demand, windows: u64) -> u64 {
    // A vector that grows as it is filled may hold twice as much as is in it.
    windows * 2 * AttentionPlan::max_bytes(demand.tokens, demand.stretches)
        + (2 * demand.tokens * size_of::<KvSlot>()) as u64
}

impl Pass<'_> {
    /// Finds out what these tokens see, for all layers that follow.
    pub(super) fn plan_attention(&mut self, steps: &[Step]) {
        let config = self.model.config();
        let state = &mut self.scratch.attend;
        state.slots.clear();
        state.slots.extend(steps.iter().map(|step| KvSlot { page: step.page, place: step.place }));
        let paths: Vec<_> = self.lanes.iter().map(|lane| &lane.path).collect();
        let queries: Vec<_> = steps.iter().map(|s| Query { path: s.lane, end: s.position + 1 }).collect();
        let (shape, threads) = (shape(config), self.team.threads());
        state.plans.clear();
        for layer in 0..config.n_layer {
            let window = config.window_of(layer);
            if !state.plans.iter().any(|(of, _)| *of == window) {
                state.plans.push((window, AttentionPlan::new(&shape, threads, window, &paths, &queries)));
            }
        }
    }

    /// Keys and values into their pages.
    pub(super) fn store(&mut self, layer: usize) {
        let s = &*self.scratch;
        let layout = self.kv.pages().layout();
        let pages = self.kv.pages_mut().all_mut();
        kernels::store_keys_values(self.team, self.isa, layout, layer, pages, &s.attend.slots, [&s.k, &s.v]);
    }

    /// The weighted values of every token's path, beside its queries.
    pub(super) fn weigh_values(&mut self, layer: usize) {
        let config = self.model.config();
        let (pages, window, s) = (self.kv.pages(), config.window_of(layer), &mut *self.scratch);
        let Some((_, plan)) = s.attend.plans.iter().find(|(of, _)| *of == window) else { return };
        let attention = Attention { shape: shape(config), layout: pages.layout(), layer, pages: pages.all(), plan };
        kernels::attention(self.team, self.isa, &attention, &s.q, &mut s.attend.scratch, &mut s.attn);
    }
}

pub(super) fn shape(config: &Config) -> AttentionShape {
    AttentionShape {
        head_dim: config.head_dim,
        n_head_kv: config.n_head_kv,
        n_group: config.n_group(),
        scale: config.attention_scale,
        soft_cap: None,
    }
}
