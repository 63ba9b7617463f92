{#-
gated: the gated units of an MLP, act(gate) * up, by the name of their epilogue.

  swiglu  act(x) = x sigmoid(x)
  geglu   act(x) = x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) = x sigmoid(2 sqrt(2/pi) (x + 0.044715 x^3))
-#}
{% set UNITS = ["swiglu", "geglu"] %}
{% macro of(unit, x) %}
{{ x }} / (1.0 + exp({% if unit == "geglu" %}-1.5957691216 * {{ x }} * (1.0 + 0.044715 * {{ x }} * {{ x }}){% else %}-{{ x }}{% endif %}))
{%- endmacro %}
