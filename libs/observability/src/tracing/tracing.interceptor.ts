import { Injectable, type CallHandler, type ExecutionContext, type NestInterceptor } from '@nestjs/common';
import { context, trace } from '@opentelemetry/api';
import { Observable } from 'rxjs';
import { tracer } from './tracing.js';

/** A span for what the controller does, inside that of the request: what comes before it is guards, and behind it the sending. */
@Injectable()
export class TracingInterceptor implements NestInterceptor {
  intercept(execution: ExecutionContext, next: CallHandler): Observable<unknown> {
    if (!trace.getActiveSpan()) return next.handle();
    const span = tracer().startSpan(`${execution.getClass().name}.${execution.getHandler().name}`);
    const inside = trace.setSpan(context.active(), span);
    return new Observable((subscriber) => {
      const subscription = context.with(inside, () => next.handle().subscribe(subscriber));
      subscription.add(() => span.end());
      return subscription;
    });
  }
}
