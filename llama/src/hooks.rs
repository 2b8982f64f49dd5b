//! What llama.cpp calls back during a pass: hidden states as they are computed, and whether to stop.

use std::ffi::{CStr, c_void};

use llama_cpp_sys_2 as sys;

/// Where hidden states are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tap {
    /// The residual stream after this layer.
    Layer(usize),
    /// After the final norm.
    Final,
}

impl Tap {
    /// llama.cpp's name of the node in its graph; most architectures use these two.
    fn node(self) -> String {
        match self {
            Self::Layer(layer) => format!("l_out-{layer}"),
            Self::Final => "result_norm".to_owned(),
        }
    }
}

/// What one pass wants; llama.cpp holds its address.
#[derive(Default)]
pub(crate) struct Hooks {
    taps: Vec<(String, Vec<f32>)>,
    n_embd: usize,
    stop: Option<*const (dyn Fn() -> bool + 'static)>,
}

impl Hooks {
    /// Gets ready for a pass, which must end before `stop` does.
    pub fn begin(&mut self, taps: &[Tap], n_embd: usize, stop: &dyn Fn() -> bool) {
        self.taps = taps.iter().map(|tap| (tap.node(), Vec::new())).collect();
        self.n_embd = n_embd;
        let stop: *const dyn Fn() -> bool = stop;
        // SAFETY: only the lifetime changes; `end` forgets the pointer before the function that lent it returns.
        self.stop =
            Some(unsafe { std::mem::transmute::<*const dyn Fn() -> bool, *const (dyn Fn() -> bool + 'static)>(stop) });
    }

    /// The rows that each tap saw, in the order of the taps.
    pub fn end(&mut self) -> Vec<Vec<f32>> {
        self.stop = None;
        std::mem::take(&mut self.taps).into_iter().map(|(_, rows)| rows).collect()
    }
}

/// `ggml_backend_sched_eval_callback`: asked first whether a node is wanted, then shown it.
pub(crate) unsafe extern "C" fn see(tensor: *mut sys::ggml_tensor, ask: bool, data: *mut c_void) -> bool {
    // SAFETY: llama.cpp gives back the address of the context's hooks, which only the thread of the pass touches, and a
    // tensor whose name ends with a zero.
    let (hooks, tensor, name) =
        unsafe { (&mut *data.cast::<Hooks>(), &*tensor, CStr::from_ptr((*tensor).name.as_ptr())) };
    let width = hooks.n_embd;
    let Some((_, rows)) = hooks.taps.iter_mut().find(|(node, _)| node.as_bytes() == name.to_bytes()) else {
        return !ask;
    };
    if ask {
        return true;
    }
    let plain = tensor.type_ == sys::GGML_TYPE_F32 && usize::try_from(tensor.ne[0]).ok() == Some(width);
    let count = usize::try_from(tensor.ne[1]).unwrap_or(0);
    if plain && tensor.ne[2] == 1 && tensor.ne[3] == 1 {
        let old = rows.len();
        rows.resize(old + width * count, 0.0);
        // SAFETY: the rows are contiguous f32 and as many bytes as the tensor has; ggml copies from any device.
        unsafe { sys::ggml_backend_tensor_get(tensor, rows[old..].as_mut_ptr().cast(), 0, width * count * 4) };
    }
    true
}

/// `ggml_abort_callback`: asked between nodes of the graph, on the CPU backend only.
pub(crate) unsafe extern "C" fn stop(data: *mut c_void) -> bool {
    // SAFETY: the address of the context's hooks; the function behind it outlives the pass.
    unsafe { (*data.cast::<Hooks>()).stop.is_some_and(|stop| (*stop)()) }
}
