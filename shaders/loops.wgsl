{#-
loops: the bounds of loops. Drivers unroll loops whose length they know, which helps a graphics card to have many loads under way; a software driver only takes
seconds longer to compile, and is not told: the length depends on a buffer there. With `call`, whose rows are less than 2^31.
-#}
{% macro bound(count, unroll) %}{{ count }}u{{ "" if unroll else " + (call.rows >> 31u)" }}{% endmacro %}
