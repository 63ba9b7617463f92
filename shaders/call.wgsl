{#-
call: what all kernels of a pass are told of it, in one uniform (`write_call_to` of src/runtime/session.rs fills it).
-#}
// Token rows of this call; positions of a sequence; sequences times context; room for splits.
struct Call { rows: u32, context: u32, tokens: u32, splits: u32 }
