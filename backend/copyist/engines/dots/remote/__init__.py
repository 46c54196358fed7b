"""The model on a server that speaks the chat protocol of OpenAI: vLLM, SGLang, llama.cpp, Ollama."""
