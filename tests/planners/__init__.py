"""The planners shown at work without a model: sensible and faulty scripted models, equal budgets, traces, prompts."""
