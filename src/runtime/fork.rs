//! A second session that goes on from where the first one is.

use super::Session;
use crate::error::Result;
use crate::gpu::Buffer;

impl Session {
    /// A copy: the same tokens, cache and logits in memory of its own. What happens to one does not touch the other.
    ///
    /// # Errors
    /// No room on the device.
    pub fn fork(&self) -> Result<Session> {
        let mut fork = Session::new(self.network(), self.options())?;
        let mut encoder = self.gpu().device().create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("fork") });
        let mut copy = |from: &Buffer, to: &Buffer| {
            encoder.copy_buffer_to_buffer(from.raw(), 0, to.raw(), 0, Some(from.bytes().min(to.bytes())));
        };
        for (from, to) in self.caches().iter().zip(fork.caches()) {
            from.buffers().zip(to.buffers()).for_each(|(from, to)| copy(from, to));
        }
        copy(&self.history, &fork.history);
        copy(&self.logits, &fork.logits);
        self.gpu().queue().submit([encoder.finish()]);
        self.gpu().wait()?;
        fork.take_state(self);
        Ok(fork)
    }
}
