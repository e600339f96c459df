// The registry's page for people: repositories, tags, and what a manifest is, with its model card.
// It only reads, works without JavaScript, and shows a caller what they may pull.
//
// Loop thread; long texts are read on the pool. /, /?q=, /r/<repository>, /r/<repository>:<tag>,
// /r/<repository>@<digest>. What it shows came from strangers: html.h and markdown.h say how it is
// kept harmless, content_security_policy() is the second line. docs/registry-page.md.
#pragma once

#include <memory>

#include "depot/depot.h"
#include "http/message.h"
#include "registryd/gate.h"
#include "rt/loop.h"

namespace berth::registryd {

class WebPage : public http::Service {
 public:
  WebPage(rt::Loop& loop, depot::Depot depot, Gate& gate)
      : loop_(loop), depot_(depot), gate_(gate) {}

  // Answers every path: 404 for those that are no page.
  rt::Task<Result<http::Response>> handle(rt::Op& op, http::Request request) override;

  // Whether somebody follows a link to a page here, from wherever: reading it cannot hurt.
  static bool is_visit(const http::Request& request);

 private:
  struct Visit;
  rt::Task<Result<http::Response>> answer(rt::Op& op, const Visit& visit);
  rt::Task<Result<http::Response>> home(rt::Op& op, const Visit& visit);
  rt::Task<Result<http::Response>> repository(rt::Op& op, const Visit& visit);
  rt::Task<Result<http::Response>> manifest(rt::Op& op, const Visit& visit);
  http::Response refuse(const Visit& visit) const;

  rt::Loop& loop_;
  depot::Depot depot_;
  Gate& gate_;
};

}  // namespace berth::registryd
