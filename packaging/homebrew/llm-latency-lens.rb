# A formula for a tap: brew install llm-devops/tap/llm-latency-lens
class LlmLatencyLens < Formula
  include Language::Python::Virtualenv

  desc "Measure latency, throughput and cost of streaming LLM endpoints"
  homepage "https://github.com/llm-devops/llm-latency-lens"
  url "https://files.pythonhosted.org/packages/source/l/llm-latency-lens/llm_latency_lens-0.2.0.tar.gz"
  sha256 "0000000000000000000000000000000000000000000000000000000000000000" # of the release: see ../README.md
  license "Apache-2.0"

  depends_on "cmake" => :build
  depends_on "ninja" => :build
  depends_on "libyaml"
  depends_on "numpy"
  depends_on "python@3.13"

  # `brew update-python-resources llm-latency-lens` writes the resources here, from the release on PyPI.

  def install
    virtualenv_install_with_resources
    generate_completions_from_executable(bin/"lll", shells: [:bash, :zsh, :fish], shell_parameter_format: :click)
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/lll --version")
    assert_match "ttft_ms", shell_output("#{bin}/lll explain ttft_ms")
  end
end
